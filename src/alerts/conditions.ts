import { isRelayEvent, RELAY_EVENTS, type RelayEventName } from '../domain/relay-events.ts'

/** An event that is about a state, rather than something that happened once. */
export interface Statement {
  /** What the state is of: `target crm`. Of the statements about one condition only the latest can be true. */
  readonly condition: string
  /** Whether it says that all is well again. */
  readonly recovers: boolean
  /** What it says: two with the same words say the same. */
  readonly words: string
}

/** The condition that an event is about, and whether it says that all is well again. */
interface Topic {
  readonly topic: string
  readonly recovers: boolean
}

const problem = (topic: string): Topic => ({ topic, recovers: false })
const recovery = (topic: string): Topic => ({ topic, recovers: true })

/** What each event is about; null: something that happened once. A recovery ends all problems of its topic. */
const TOPICS: Readonly<Record<RelayEventName, Topic | null>> = {
  'relay.delivery.dead': null,
  'relay.target.opened': problem('target'),
  'relay.target.closed': recovery('target'),
  'relay.target.calls_held': problem('held'),
  'relay.target.calls_released': recovery('held'),
  'relay.source.silent': problem('silence'),
  'relay.source.resumed': recovery('silence'),
  'relay.backlog.old': problem('backlog'),
  'relay.backlog.cleared': recovery('backlog'),
  'relay.outbox.low_space': problem('space'),
  'relay.outbox.space_recovered': recovery('space'),
  'relay.outbox.full': problem('size'),
  'relay.outbox.size_recovered': recovery('size'),
  'relay.outbox.wal_pinned': problem('wal'),
  'relay.outbox.wal_released': recovery('wal'),
  'relay.certificate.expiring': problem('certificate'),
  'relay.certificate.expired': problem('certificate'),
  'relay.certificate.renewed': recovery('certificate'),
  'relay.certificate.reload_failed': problem('certificate_files'),
  'relay.certificate.reloaded': recovery('certificate_files'),
  'relay.reconcile.gap': null,
  'relay.reconcile.failing': problem('reconcile'),
  'relay.reconcile.recovered': recovery('reconcile'),
  'relay.reconcile.unreadable': problem('reading'),
  'relay.reconcile.readable': recovery('reading'),
  'relay.webhook.missing': problem('webhook'),
  'relay.webhook.moved': problem('webhook'),
  'relay.webhook.unhealthy': problem('webhook'),
  'relay.webhook.events_missing': problem('webhook'),
  'relay.webhook.secrets_unknown': problem('webhook'),
  'relay.webhook.agent_mismatch': problem('webhook'),
  'relay.webhook.restored': recovery('webhook'),
}

/** The names of all events about states. */
export const STATE_EVENTS: readonly string[] = RELAY_EVENTS.filter((event) => TOPICS[event] !== null)

/** What an event says, by its name and the facts of its payload; null where it is not about a state. */
export function statementOf(event: string, facts: Readonly<Record<string, unknown>>): Statement | null {
  const known = isRelayEvent(event) ? TOPICS[event] : null
  if (known === null) return null
  const subject =
    text(facts.target, 'name') ??
    text(facts.source, 'name') ??
    text(facts.webhook, 'source') ??
    text(facts.certificate, 'place')
  return {
    condition: `${known.topic} ${subject ?? text(facts.reconcile, 'source') ?? ''}`,
    recovers: known.recovers,
    // About another URL, or other parts of the API, the same event says something else.
    words: [event, text(facts.webhook, 'url') ?? '', ...partsOf(facts.reconcile)].join(' '),
  }
}

function text(value: unknown, key: string): string | undefined {
  const found = (value as Record<string, unknown> | null | undefined)?.[key]
  return typeof found === 'string' ? found : undefined
}

/** Which parts of the API fail, or which list cannot be read, is part of what is said: another one is news. */
function partsOf(reconcile: unknown): string[] {
  const { endpoints, list } = (reconcile ?? {}) as { endpoints?: unknown; list?: unknown }
  if (typeof list === 'string') return [list]
  return Array.isArray(endpoints)
    ? endpoints.map((each) => String((each as { endpoint?: unknown }).endpoint)).sort()
    : []
}
