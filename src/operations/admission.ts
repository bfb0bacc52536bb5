import type { Config } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { abridgedPayload, callIdOf, EVENT_NAME_LIMIT, isCallId, type NewEvent } from '../domain/event.ts'
import { sampledShare } from '../domain/trace-context.ts'
import { newEventId } from '../event-id.ts'
import { readPayload } from '../expressions/bounded.ts'
import type { Admission, Admitted, OutboxOperator, RejectionFilter, StoredRejection } from '../outbox/operator.ts'
import { newTraceparent } from '../trace-ids.ts'
import { countEach } from './counts.ts'
import { isEmpty } from './filters.ts'
import { refuseMissing } from './missing.ts'
import { inSteps, type StepOptions } from './steps.ts'
import { deliveriesTo, type Router, todaysRoutes } from './todays-routes.ts'

/** So many are read with their bodies, routed and recorded at once, in one transaction. */
const STEP = 50

/** A rejection that cannot be admitted, and why. */
export interface Refused {
  readonly rejectionId: number
  readonly problem: string
}

/** What has become of rejections. */
export interface AdmissionTally {
  readonly admitted: Admitted[]
  /** Their bodies hold no event. */
  readonly refused: Refused[]
  /** New deliveries by their target. */
  readonly targets: Map<string, number>
}

/** What an operator says a body is that holds no event, so that it can be recorded as it is. */
export interface NamedEvent {
  readonly event: string
  /** Null: the body's hash identifies the event. */
  readonly callId: string | null
}

export interface AdmissionOptions extends StepOptions {
  readonly dryRun: boolean
  /** Absent: a body that holds no event stays a rejection. */
  readonly named?: NamedEvent | null
  readonly clock: Clock
  /** Is told what an operator should look at. */
  readonly warn: (text: string) => void
}

/** Which rejections an operator means; undefined where that would be all there are. */
export function meantRejections(ids: readonly number[], filter: RejectionFilter): RejectionFilter | undefined {
  if (ids.length > 0) return { ...filter, rejectionIds: ids, kept: true }
  return isEmpty(filter) ? undefined : { reason: 'timestamp_stale', ...filter, kept: true }
}

/** Throws `not_found` for ids that there are not. */
export async function refuseUnknownRejections(
  operator: Pick<OutboxOperator, 'findRejections'>,
  rejectionIds: readonly number[],
) {
  refuseMissing('rejection', rejectionIds, await operator.findRejections({ rejectionIds }))
}

/** Throws the reason of the rejection for one that was named and has no body on record. */
export async function refuseUnproven(
  operator: Pick<OutboxOperator, 'listRejections'>,
  rejectionIds: readonly number[],
): Promise<void> {
  const [unproven] = await operator.listRejections({ rejectionIds, kept: false }, 1)
  if (unproven === undefined) return
  const { rejectionId, reason } = unproven
  throw new RelayError(reason, `rejection ${rejectionId} (${reason}) cannot be admitted: nothing proves who sent it`)
}

/** Null where no event is named. Throws `usage` for a name or a call id that no event can have. */
export function namedEvent(event: string | undefined, callId: string | undefined): NamedEvent | null {
  if (event === undefined && callId === undefined) return null
  if (event === undefined)
    throw new RelayError('usage', 'a call id alone names no event: give the name of the event too')
  // A pattern or a slip would be the event's name for good.
  if (event === '' || event.length > EVENT_NAME_LIMIT || /[\s\p{C}*]/u.test(event)) {
    throw new RelayError(
      'usage',
      `invalid name of an event: use 1 to ${EVENT_NAME_LIMIT} characters, without blanks, control characters and *`,
    )
  }
  if (callId !== undefined && !isCallId(callId)) throw new RelayError('usage', 'this cannot be the id of a call')
  return { event, callId: callId ?? null }
}

/** Takes kept rejections in, or in a dry run only says what would come of it. */
export async function admitRejections(
  operator: Pick<OutboxOperator, 'readRejections' | 'admit'>,
  config: Config,
  rejectionIds: readonly number[],
  { dryRun, named = null, clock, warn, ...stepping }: AdmissionOptions,
): Promise<AdmissionTally> {
  const route = todaysRoutes(config, warn)
  const tally: AdmissionTally = { admitted: [], refused: [], targets: new Map() }
  await inSteps(rejectionIds, STEP, stepping, async (step) => {
    const admissions: Admission[] = []
    for (const rejection of await operator.readRejections(step)) {
      const read = await admissionOf(rejection, config, route, named)
      if ('problem' in read) tally.refused.push(read)
      else admissions.push(read)
    }
    const nowhere = admissions.filter(({ deliveries }) => deliveries.length === 0).length
    if (named !== null && nowhere > 0) warn(`no route matches ${named.event}: ${nowhere} without a delivery`)
    count(tally, admissions, dryRun ? admissions.map(asIfNew) : await operator.admit(admissions, clock.now()))
  })
  return tally
}

/** For scripts. `matched`: how many there were at first. */
export function admissionDocument(tally: AdmissionTally, matched: number, dryRun: boolean) {
  const { admitted, refused, targets } = tally
  const duplicates = duplicatesIn(tally)
  return {
    matched,
    dryRun,
    admitted: dryRun ? 0 : admitted.length - duplicates,
    duplicates,
    targets: Object.fromEntries(targets),
    events: dryRun ? [] : admitted,
    refused,
  }
}

export function duplicatesIn({ admitted }: AdmissionTally): number {
  return admitted.filter(({ duplicate }) => duplicate).length
}

function asIfNew({ rejectionId, event: { eventId } }: Admission): Admitted {
  return { rejectionId, eventId, duplicate: false }
}

function count(
  { admitted: all, targets }: AdmissionTally,
  admissions: readonly Admission[],
  admitted: readonly Admitted[],
): void {
  all.push(...admitted)
  const recorded = new Set(admitted.filter(({ duplicate }) => !duplicate).map(({ rejectionId }) => rejectionId))
  const deliveries = admissions
    .filter(({ rejectionId }) => recorded.has(rejectionId))
    .flatMap((each) => each.deliveries)
  countEach(
    deliveries.map(({ target }) => target),
    targets,
  )
}

/** The event that a kept rejection holds, as it would have been recorded when it came, and where it goes today. */
async function admissionOf(
  { rejectionId, source, receivedAt, contentType, body }: StoredRejection,
  config: Config,
  route: Router,
  named: NamedEvent | null,
): Promise<Admission | Refused> {
  if (body === null) return { rejectionId, problem: 'its body was not kept' }
  const parsed = await readPayload(body)
  if ('problem' in parsed && named === null) return { rejectionId, problem: parsed.problem }
  // The body is routed and delivered as it is; what reads it as JSON (conditions, templates) fails.
  const payload = 'payload' in parsed ? parsed.payload : abridgedPayload(named!.event, named!.callId, body)
  const event: NewEvent = {
    eventId: newEventId(),
    source,
    account: config.sources[source]?.account ?? source,
    event: payload.event,
    callId: callIdOf(payload),
    receivedAt,
    origin: 'webhook',
    contentType,
    body,
    traceparent: newTraceparent(sampledShare(config.tracing)),
  }
  const targets = await route(payload, source, `rejection ${rejectionId}`)
  return { rejectionId, event, deliveries: deliveriesTo(config, targets) }
}
