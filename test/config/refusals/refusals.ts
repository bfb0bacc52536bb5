import type { Refusals } from '../relay-yaml.ts'
import { adminRefusals } from './admin-refusals.ts'
import { attachmentRefusals } from './attachment-refusals.ts'
import { execTargetRefusals } from './exec-target-refusals.ts'
import { formRefusals } from './form-refusals.ts'
import { httpContentRefusals } from './http-content-refusals.ts'
import { httpTargetRefusals } from './http-target-refusals.ts'
import { httpWayRefusals } from './http-way-refusals.ts'
import { pacingRefusals } from './pacing-refusals.ts'
import { referenceRefusals } from './reference-refusals.ts'
import { retentionRefusals } from './retention-refusals.ts'
import { retryRefusals } from './retry-refusals.ts'
import { routeRefusals } from './route-refusals.ts'
import { scalarRefusals } from './scalar-refusals.ts'
import { serverRefusals } from './server-refusals.ts'
import { slackTargetRefusals } from './slack-target-refusals.ts'
import { sourceRefusals } from './source-refusals.ts'
import { tracingRefusals } from './tracing-refusals.ts'
import { ultravoxRefusals } from './ultravox-refusals.ts'

/** Every configuration with one mistake in it, by what the mistake is. */
export const REFUSALS: Refusals = {
  ...formRefusals,
  ...scalarRefusals,
  ...serverRefusals,
  ...adminRefusals,
  ...sourceRefusals,
  ...referenceRefusals,
  ...routeRefusals,
  ...httpTargetRefusals,
  ...httpContentRefusals,
  ...httpWayRefusals,
  ...slackTargetRefusals,
  ...execTargetRefusals,
  ...retryRefusals,
  ...pacingRefusals,
  ...retentionRefusals,
  ...ultravoxRefusals,
  ...attachmentRefusals,
  ...tracingRefusals,
}
