import { checkAdmin } from './checks/admin.ts'
import { checkAnswers } from './checks/answers.ts'
import { checkAttachments } from './checks/attachments.ts'
import { checkConnections } from './checks/connections.ts'
import { checkPrograms, checkVariables } from './checks/exec.ts'
import { checkExpressions } from './checks/expressions.ts'
import { checkFileSystem } from './checks/file-system.ts'
import { checkHeaders } from './checks/headers.ts'
import { checkLoops } from './checks/loops.ts'
import { checkPacing } from './checks/pacing.ts'
import { checkReach } from './checks/reach.ts'
import { checkRetention } from './checks/retention.ts'
import { checkRetry } from './checks/retry.ts'
import { checkRoutes } from './checks/routes.ts'
import { checkRunAs } from './checks/run-as.ts'
import { checkSources } from './checks/sources.ts'
import { checkCertificates, checkTls } from './checks/tls.ts'
import { checkTracing } from './checks/tracing.ts'
import { checkUltravox } from './checks/ultravox.ts'
import { checkUnfilled } from './checks/unfilled.ts'
import type { Draft } from './draft.ts'
import type { Finding } from './finding.ts'

/** Everything that takes more than one key or a compiler to judge. Told all at once, in no order. */
export function* crossChecks(draft: Draft): Iterable<Finding> {
  yield* checkSources(draft)
  yield* checkRoutes(draft)
  yield* checkReach(draft)
  yield* checkExpressions(draft)
  yield* checkUnfilled(draft)
  yield* checkHeaders(draft)
  yield* checkConnections(draft)
  yield* checkTls(draft)
  yield* checkVariables(draft)
  yield* checkRetry(draft)
  yield* checkPacing(draft)
  yield* checkAnswers(draft)
  yield* checkRetention(draft)
  yield* checkUltravox(draft)
  yield* checkAttachments(draft)
  yield* checkAdmin(draft)
}

/** What only this machine, and the user the relay runs as, can tell. */
export function* machineChecks(draft: Draft): Iterable<Finding> {
  yield* checkPrograms(draft)
  yield* checkCertificates(draft)
  yield* checkRunAs(draft)
  yield* checkTracing(draft)
  yield* checkFileSystem(draft)
  yield* checkLoops(draft)
}
