import type { RelayEventName } from '../domain/relay-events.ts'

type Facts = Readonly<Record<string, object>>

/** Returns the command that an operator runs next, to be pasted as it is. `count`: how many raisings the alert stands for. */
export function nextCommand(event: RelayEventName, facts: Facts, count: number): string {
  return `ultravox-relay ${COMMANDS[event](facts, count)}`
}

const status = () => 'status'
const doctor = () => 'doctor'

const COMMANDS: Readonly<Record<RelayEventName, (facts: Facts, count: number) => string>> = {
  'relay.delivery.dead': ({ delivery }, count) =>
    count === 1
      ? `deliveries show ${of(delivery, 'deliveryId')}`
      : `deliveries list --state dead --target ${of(delivery, 'target')}`,
  'relay.target.opened': ({ target, delivery }) =>
    delivery === undefined
      ? `deliveries list --state pending --target ${of(target, 'name')}`
      : `deliveries show ${of(delivery, 'deliveryId')}`,
  'relay.target.closed': status,
  'relay.target.calls_held': ({ target }) => `deliveries list --target ${of(target, 'name')} --holding`,
  'relay.target.calls_released': status,
  'relay.source.silent': doctor,
  'relay.source.resumed': status,
  'relay.backlog.old': ({ target }) => `deliveries list --state pending --target ${of(target, 'name')}`,
  'relay.backlog.cleared': status,
  'relay.outbox.low_space': () => 'prune --older-than 30d --dry-run',
  'relay.outbox.space_recovered': status,
  'relay.outbox.full': () => 'prune --older-than 30d --dry-run',
  'relay.outbox.size_recovered': status,
  'relay.outbox.wal_pinned': doctor,
  'relay.outbox.wal_released': status,
  'relay.certificate.expiring': doctor,
  'relay.certificate.expired': doctor,
  'relay.certificate.renewed': status,
  'relay.certificate.reload_failed': () => 'check',
  'relay.certificate.reloaded': status,
  'relay.reconcile.gap': () => 'events gaps',
  'relay.reconcile.failing': doctor,
  'relay.reconcile.unreadable': status,
  'relay.reconcile.readable': status,
  'relay.reconcile.recovered': status,
  'relay.webhook.missing': () => 'webhooks ensure',
  'relay.webhook.moved': () => 'webhooks ensure',
  'relay.webhook.unhealthy': () => 'webhooks list',
  'relay.webhook.events_missing': () => 'webhooks ensure',
  'relay.webhook.secrets_unknown': () => 'webhooks list',
  'relay.webhook.agent_mismatch': () => 'webhooks list',
  'relay.webhook.restored': status,
}

function of(fact: object | undefined, key: string): string {
  return String((fact as Record<string, unknown> | undefined)?.[key])
}
