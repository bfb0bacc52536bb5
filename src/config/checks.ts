import { checkConnections } from './checks/connections.ts'
import { checkExec } from './checks/exec.ts'
import { checkExpressions } from './checks/expressions.ts'
import { checkHeaders } from './checks/headers.ts'
import { checkPacing } from './checks/pacing.ts'
import { checkReach } from './checks/reach.ts'
import { checkRetry } from './checks/retry.ts'
import { checkRoutes } from './checks/routes.ts'
import { checkRunAs } from './checks/run-as.ts'
import { checkSources } from './checks/sources.ts'
import { checkTls } from './checks/tls.ts'
import type { Draft } from './draft.ts'
import type { Finding } from './finding.ts'

/** Everything that takes more than one key, a compiler or the disk to judge. Told all at once, in no order. */
export function* crossChecks(draft: Draft): Iterable<Finding> {
  yield* checkSources(draft)
  yield* checkRoutes(draft)
  yield* checkReach(draft)
  yield* checkExpressions(draft)
  yield* checkHeaders(draft)
  yield* checkConnections(draft)
  yield* checkTls(draft)
  yield* checkExec(draft)
  yield* checkRunAs(draft)
  yield* checkRetry(draft)
  yield* checkPacing(draft)
}
