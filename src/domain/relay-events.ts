/** The source of the events that the relay makes about itself. No source of a configuration can have this name. */
export const RELAY_SOURCE = 'relay'

/** The events that the relay makes about itself. */
export const RELAY_EVENTS = [
  'relay.delivery.dead',
  'relay.target.opened',
  'relay.target.closed',
  'relay.target.calls_held',
  'relay.target.calls_released',
  'relay.source.silent',
  'relay.source.resumed',
  'relay.backlog.old',
  'relay.backlog.cleared',
  'relay.outbox.low_space',
  'relay.outbox.space_recovered',
  'relay.outbox.full',
  'relay.outbox.size_recovered',
  'relay.outbox.wal_pinned',
  'relay.outbox.wal_released',
  'relay.certificate.expiring',
  'relay.certificate.expired',
  'relay.certificate.renewed',
  'relay.certificate.reload_failed',
  'relay.certificate.reloaded',
  'relay.reconcile.gap',
  'relay.reconcile.failing',
  'relay.reconcile.unreadable',
  'relay.reconcile.readable',
  'relay.reconcile.recovered',
  'relay.webhook.missing',
  'relay.webhook.moved',
  'relay.webhook.unhealthy',
  'relay.webhook.events_missing',
  'relay.webhook.secrets_unknown',
  'relay.webhook.agent_mismatch',
  'relay.webhook.restored',
] as const

export type RelayEventName = (typeof RELAY_EVENTS)[number]

/** Whether a name is one of the relay's own events. It does not say who made an event of that name: see `RELAY_SOURCE`. */
export function isRelayEvent(name: string): name is RelayEventName {
  return (RELAY_EVENTS as readonly string[]).includes(name)
}
