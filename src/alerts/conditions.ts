import type { RelayEventName } from '../domain/relay-events.ts'

/** An event that is about a state, rather than something that happened once. */
export interface Statement {
  /** What the state is of: `target crm`. Of the statements about one condition only the latest can be true. */
  readonly condition: string
  /** Whether it says that all is well again. */
  readonly recovers: boolean
  /** What it says: two with the same words say the same. */
  readonly words: string
}

/** The events about states, by what they are about: those that report a problem, and the one that ends all of them. */
const PAIRS: Readonly<Record<string, { problems: readonly RelayEventName[]; recovery: RelayEventName }>> = {
  target: { problems: ['relay.target.opened'], recovery: 'relay.target.closed' },
  held: { problems: ['relay.target.calls_held'], recovery: 'relay.target.calls_released' },
  silence: { problems: ['relay.source.silent'], recovery: 'relay.source.resumed' },
  backlog: { problems: ['relay.backlog.old'], recovery: 'relay.backlog.cleared' },
  space: { problems: ['relay.outbox.low_space'], recovery: 'relay.outbox.space_recovered' },
  size: { problems: ['relay.outbox.full'], recovery: 'relay.outbox.size_recovered' },
  wal: { problems: ['relay.outbox.wal_pinned'], recovery: 'relay.outbox.wal_released' },
  certificate: {
    problems: ['relay.certificate.expiring', 'relay.certificate.expired'],
    recovery: 'relay.certificate.renewed',
  },
  certificate_files: { problems: ['relay.certificate.reload_failed'], recovery: 'relay.certificate.reloaded' },
  reconcile: { problems: ['relay.reconcile.failing'], recovery: 'relay.reconcile.recovered' },
  reading: { problems: ['relay.reconcile.unreadable'], recovery: 'relay.reconcile.readable' },
  webhook: {
    problems: [
      'relay.webhook.missing',
      'relay.webhook.moved',
      'relay.webhook.unhealthy',
      'relay.webhook.events_missing',
      'relay.webhook.secrets_unknown',
      'relay.webhook.agent_mismatch',
    ],
    recovery: 'relay.webhook.restored',
  },
}

const TOPICS = new Map(
  Object.entries(PAIRS).flatMap(([topic, { problems, recovery }]) =>
    [...problems, recovery].map((event): [string, { topic: string; recovers: boolean }] => [
      event,
      { topic, recovers: event === recovery },
    ]),
  ),
)

/** The names of all events about states. */
export const STATE_EVENTS: readonly string[] = [...TOPICS.keys()]

/** What an event says, by its name and the facts of its payload; null where it is not about a state. */
export function statementOf(event: string, facts: Readonly<Record<string, unknown>>): Statement | null {
  const known = TOPICS.get(event)
  if (known === undefined) return null
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
