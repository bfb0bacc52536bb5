/** The source of the events that the relay makes about itself. No source of a configuration can have this name. */
export const RELAY_SOURCE = 'relay'

/** The events that the relay makes about itself. */
export const RELAY_EVENTS = [
  'relay.delivery.dead',
  'relay.target.opened',
  'relay.target.closed',
  'relay.source.silent',
  'relay.backlog.old',
  'relay.outbox.low_space',
] as const

export type RelayEventName = (typeof RELAY_EVENTS)[number]
