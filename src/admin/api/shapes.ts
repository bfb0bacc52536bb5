import type { targetDocument } from '../../documents/targets.ts'
import type { Attempt } from '../../domain/delivery.ts'
import { DELIVERY_STATES, EVENT_STATES } from '../../operations/filters.ts'
import type { Probing } from '../../operations/probing.ts'
import type {
  CallSummary,
  DeliveryCounts,
  DeliverySummary,
  EventHistory,
  EventSummary,
  Gap as GapOnRecord,
  Probe as ProbeOfCircuit,
  RejectionSummary,
  StoredRejection,
} from '../../outbox/operator.ts'
import { count, flag, instant, listOf, nullable, object, type Properties, type Schema, text } from './schema.ts'
import { entryShape, statusShape } from './status-shape.ts'

export * from './schema.ts'

/** This and the next: what a recall found, see `Recalled`. */
export const underWay: Schema = {
  ...nullable(count),
  description: 'Attempts that had begun and may still arrive; null where the relay did not say.',
}
export const deliveredMeanwhile: Schema = {
  ...count,
  description: 'Deliveries that the target accepted while they were changed.',
}

const delivery = {
  deliveryId: { type: 'integer' },
  eventId: text,
  event: text,
  callId: nullable(text),
  target: text,
  attempts: count,
  lastStatus: nullable({ type: 'integer' }),
  lastError: nullable(text),
  state: { type: 'string', enum: [...DELIVERY_STATES] },
  waiting: { ...flag, description: 'Pending, and behind another delivery of its call.' },
  dueAt: nullable(instant),
  updatedAt: instant,
} satisfies Properties<DeliverySummary>

const event = {
  eventId: text,
  source: text,
  event: text,
  callId: nullable(text),
  receivedAt: instant,
  duplicates: count,
  prunedAt: nullable({ ...instant, description: 'When all but its identity was removed for its age.' }),
} satisfies Properties<EventSummary>

const deliveryCounts = object({
  pending: count,
  failing: { ...count, description: 'Those of the pending ones whose last attempt failed.' },
  delivered: count,
  dead: count,
  cancelled: count,
} satisfies Properties<DeliveryCounts>)

const attempt = object({
  attempt: { type: 'integer', minimum: 1 },
  startedAt: instant,
  durationMs: count,
  outcome: { type: 'string', enum: ['delivered', 'failed', 'refused'] },
  status: nullable({ type: 'integer' }),
  error: nullable(text),
  response: nullable(text),
  note: nullable(text),
} satisfies Properties<Attempt>)

/** What keeps a delivery that nothing of its call is in the way of. Which other keys there are depends on the reason. */
export const targetWait: Schema = {
  type: 'object',
  required: ['reason'],
  properties: {
    reason: {
      type: 'string',
      enum: ['not_configured', 'paused', 'circuit', 'throttled', 'backoff', 'interrupted', 'rate_limit'],
    },
    by: { type: 'string', enum: ['configuration', 'command'], description: 'paused: what pauses the target.' },
    probeAt: { ...instant, description: 'circuit: when one delivery may be tried.' },
    until: { ...instant, description: 'throttled: the target asked to be sent nothing before.' },
    dueAt: { ...instant, description: 'backoff: when the next attempt is due.' },
    error: nullable({ ...text, description: 'backoff: of the last attempt.' }),
    ahead: { ...count, description: 'rate_limit: deliveries sent before this one, counted up to 10,000.' },
    max: { type: 'integer', description: 'rate_limit: the most attempts started in perMs.' },
    perMs: { type: 'integer', description: 'rate_limit: the period in milliseconds.' },
  },
}

const { reason, ...targetWaitDetails } = targetWait.properties as Record<string, Schema>
const waitsFor = nullable({
  type: 'object',
  description: 'What keeps a pending delivery from being sent; null where it is being sent, or is next.',
  required: ['reason'],
  properties: {
    ...targetWaitDetails,
    reason: {
      ...reason,
      enum: ['held', 'order', ...(reason!.enum as string[])],
      description: 'held: behind a dead delivery of its call. order: behind a pending one.',
    },
    deliveryId: { type: 'integer', description: 'held, order: the delivery that it is behind.' },
    event: { ...text, description: 'held, order: the name of its event.' },
    deadSince: { ...instant, description: 'held.' },
    dueAt: { ...instant, description: 'backoff: when the next attempt is due. order: when that delivery is due.' },
    error: nullable({ ...text, description: 'held, backoff: the last error.' }),
    waitsFor: nullable({ ...targetWait, description: 'order: what that delivery waits for.' }),
  },
})

const deliveryHistory = object({ ...delivery, history: listOf(attempt), waitsFor })

const eventHistory = {
  ...event,
  origin: { type: 'string', enum: ['webhook', 'reconcile', 'relay'] },
  contentType: nullable(text),
  bytes: nullable(count),
  traceId: nullable(text),
  deliveries: listOf(deliveryHistory),
} satisfies Properties<EventHistory>

const rejection = {
  rejectionId: { type: 'integer' },
  source: text,
  receivedAt: instant,
  reason: text,
  requestId: text,
  peer: text,
  bytes: nullable(count),
  times: count,
  kept: flag,
} satisfies Properties<RejectionSummary>

const target = object({
  target: text,
  type: nullable(text),
  configured: flag,
  pausedByConfig: flag,
  pausedByCommand: flag,
  pending: { ...count, description: 'The sum of due, backoff, waiting and held.' },
  due: { ...count, description: "Nothing but the target's limits keeps them from being sent." },
  backoff: { ...count, description: 'Due later, after a failed attempt.' },
  waiting: { ...count, description: 'Behind an earlier delivery of their call.' },
  held: { ...count, description: 'Behind a dead delivery of their call; released by its retry or cancel.' },
  heldCalls: { ...count, description: 'The number of calls that held deliveries belong to.' },
  retrying: { ...count, description: 'Pending, and their last attempt failed.' },
  dead: count,
  deliveredPerMinute: { type: 'number' },
  breaker: { type: 'string', enum: ['closed', 'open'] },
  probeAt: nullable(instant),
  throttledUntil: nullable({
    ...instant,
    description: 'The target asked to be sent nothing before (429, Retry-After).',
  }),
  oldestDueAt: nullable(instant),
  oldestHeldAt: nullable({ ...instant, description: 'Since when the longest waiting of the held ones has been due.' }),
  lastError: nullable(text),
  lastErrorAt: nullable(instant),
  timedOut: {
    ...count,
    description: 'Attempts of the last hour that ended with a timeout, among the newest 1,000 of all targets.',
  },
  lastProbe: nullable(
    object({
      deliveryId: { type: 'integer' },
      eventId: nullable(text),
      startedAt: nullable(instant),
      status: nullable({ type: 'integer' }),
      error: nullable(text),
    } satisfies Properties<ProbeOfCircuit>),
  ),
} satisfies Properties<ReturnType<typeof targetDocument>>)

const gap = object({ source: text, event: text, callId: text, foundAt: instant } satisfies Properties<GapOnRecord>)

/** What is answered, by name: the documents that the commands print with --json. */
export const SHAPES = {
  Error: object({ error: text, message: text }),
  Delivery: object(delivery),
  DeliveryHistory: deliveryHistory,
  Event: object({ ...event, deliveries: deliveryCounts }),
  CallSummary: object({
    callId: text,
    source: text,
    firstEvent: text,
    firstEventAt: instant,
    lastEventId: text,
    lastEvent: text,
    lastEventAt: instant,
    events: count,
    state: nullable({ type: 'string', enum: ['started', 'joined', 'ended', 'billed'] }),
    deliveries: deliveryCounts,
    worstDelivery: nullable({ type: 'string', enum: ['dead', 'failing', 'pending', 'cancelled', 'delivered'] }),
  } satisfies Properties<CallSummary & { worstDelivery: unknown }>),
  EventHistory: object({ ...eventHistory, body: nullable(text) }),
  Call: object({ callId: text, events: listOf(object(eventHistory)), gaps: listOf(gap) }),
  Rejection: object(rejection),
  StoredRejection: object({
    ...rejection,
    headers: { type: 'object', additionalProperties: text },
    contentType: nullable(text),
    cause: text,
    body: nullable(text),
  } satisfies Properties<StoredRejection & { cause: string }>),
  Target: target,
  Probe: object({
    target: text,
    outcome: {
      type: 'string',
      enum: [
        'attempted',
        'nothing_ready',
        'paused',
        'not_configured',
        'no_slot',
        'rate_limited',
        'outbox_unavailable',
        'interrupted',
        'unanswered',
      ] satisfies Probing['outcome'][],
    },
    breaker: { type: 'string', enum: ['closed', 'open'] },
    probeAt: nullable(instant),
    pending: count,
    delivery: nullable(object(delivery)),
    attempt: nullable(attempt),
  }),
  Gap: gap,
  Status: statusShape(target),
  Entry: entryShape,
} as const satisfies Record<string, Schema>

export const eventStates: Schema = { type: 'array', minItems: 1, items: { type: 'string', enum: [...EVENT_STATES] } }

export function deliveryStates(states: readonly string[]): Schema {
  return { type: 'array', minItems: 1, items: { type: 'string', enum: [...states] } }
}

/** One of the shapes, by its name. */
export function shape(name: keyof typeof SHAPES): Schema {
  return { $ref: `${name}#` }
}
