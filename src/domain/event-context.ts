import type { Payload } from './event.ts'

/** The relay's view of an event. Conditions are evaluated before it has an id, and know its name and source only. */
export interface EventView {
  readonly name: string
  readonly source?: string | undefined
  readonly id?: string
  /** ISO 8601. */
  readonly receivedAt?: string
}

/** Whether fields that are null are left out of what expressions see, or kept. */
export type Nulls = 'absent' | 'kept'

/**
 * The context of every expression, in conditions and templates: the fields of the payload, `event`, and `payload`, which is exactly
 * what was received. Ultravox sends null for what a call does not have, and JSONata's functions throw on it, but not on what is absent.
 */
export function eventContext(payload: Payload | object, event: EventView, nulls: Nulls): object {
  const fields = nulls === 'absent' ? withoutNulls(payload) : payload
  return { ...(fields as object), event, payload }
}

/** Leaves fields out. The elements of a list stay, since others would change their places. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutNulls(field)]))
}
