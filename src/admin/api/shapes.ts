import { DELIVERY_STATES, EVENT_STATES } from '../../operations/filters.ts'

/** A JSON Schema, as OpenAPI takes it. */
export type Schema = Readonly<Record<string, unknown>>

export const text: Schema = { type: 'string' }
/** A filter or a name: an empty one would match nothing, or everything. */
export const word: Schema = { type: 'string', minLength: 1 }
/** An id. Larger numbers are rounded when they are parsed, and would name something else. */
export const id: Schema = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER }
export const count: Schema = { type: 'integer', minimum: 0 }
export const flag: Schema = { type: 'boolean' }
export const instant: Schema = { type: 'string', format: 'date-time' }

export function nullable(schema: Schema): Schema {
  return { ...schema, nullable: true }
}

export function listOf(items: Schema): Schema {
  return { type: 'array', items }
}

/** This and the next: what a recall found, see `Recalled`. */
export const underWay: Schema = {
  ...nullable(count),
  description: 'Attempts that had begun and may still arrive; null where the relay did not say.',
}
export const deliveredMeanwhile: Schema = {
  ...count,
  description: 'Deliveries that the target accepted while they were changed.',
}

/** An object with all of these; others may join them one day. */
export function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties, required: Object.keys(properties) }
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
  dueAt: nullable(instant),
  updatedAt: instant,
}

const event = {
  eventId: text,
  source: text,
  event: text,
  callId: nullable(text),
  receivedAt: instant,
  duplicates: count,
}

const attempt = object({
  attempt: { type: 'integer', minimum: 1 },
  startedAt: instant,
  durationMs: count,
  outcome: { type: 'string', enum: ['delivered', 'failed', 'refused'] },
  status: nullable({ type: 'integer' }),
  error: nullable(text),
  response: nullable(text),
  note: nullable(text),
})

const eventHistory = {
  ...event,
  origin: { type: 'string', enum: ['webhook', 'reconcile', 'relay'] },
  contentType: nullable(text),
  bytes: nullable(count),
  traceId: nullable(text),
  deliveries: listOf(
    object({
      ...delivery,
      history: listOf(attempt),
      waitsFor: nullable({ type: 'string', enum: ['order', 'resume', 'breaker', null] }),
    }),
  ),
}

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
}

const target = object({
  target: text,
  type: nullable(text),
  configured: flag,
  pausedByConfig: flag,
  pausedByCommand: flag,
  pending: count,
  due: count,
  retrying: count,
  dead: count,
  deliveredPerMinute: { type: 'number' },
  breaker: { type: 'string', enum: ['closed', 'open'] },
  probeAt: nullable(instant),
  oldestDueAt: nullable(instant),
  lastError: nullable(text),
  lastErrorAt: nullable(instant),
})

const gap = object({ source: text, event: text, callId: text, foundAt: instant })

/** What is answered, by name: the documents that the commands print with --json. */
export const SHAPES = {
  Error: object({ error: text, message: text }),
  Delivery: object(delivery),
  DeliveryHistory: object({ ...delivery, history: listOf(attempt) }),
  Event: object(event),
  EventHistory: object({ ...eventHistory, body: nullable(text) }),
  Call: object({ callId: text, events: listOf(object(eventHistory)), gaps: listOf(gap) }),
  Rejection: object(rejection),
  StoredRejection: object({
    ...rejection,
    headers: { type: 'object', additionalProperties: text },
    contentType: nullable(text),
    cause: text,
    body: nullable(text),
  }),
  Target: target,
  Gap: gap,
  Status: object({
    at: instant,
    version: text,
    daemon: nullable({ type: 'object' }),
    certificate: nullable({
      type: 'object',
      description: 'What the public listener serves, and why its files are not loaded.',
      properties: {
        subject: text,
        issuer: text,
        names: listOf(text),
        notBefore: instant,
        notAfter: instant,
        fingerprint: text,
        selfSigned: flag,
        lifetime: { type: 'string', enum: ['not_yet_valid', 'valid', 'expiring', 'expired'] },
        problem: nullable(text),
      },
    }),
    outbox: object({
      path: text,
      events: count,
      bytes: count,
      walBytes: count,
      freeBytes: count,
      reserveBytes: count,
      retentionHeld: nullable({ type: 'object', additionalProperties: true }),
    }),
    sources: listOf({ type: 'object' }),
    targets: listOf(target),
    provider: listOf({ type: 'object' }),
  }),
} as const satisfies Record<string, Schema>

export const eventStates: Schema = { type: 'array', minItems: 1, items: { type: 'string', enum: [...EVENT_STATES] } }

export function deliveryStates(states: readonly string[]): Schema {
  return { type: 'array', minItems: 1, items: { type: 'string', enum: [...states] } }
}

/** One of the shapes, by its name. */
export function shape(name: keyof typeof SHAPES): Schema {
  return { $ref: `${name}#` }
}
