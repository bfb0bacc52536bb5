import { iso } from '../domain/iso.ts'
import type { RelayEventName } from '../domain/relay-events.ts'
import type { ExpectedEvent, FailingPart, UnreadableCalls, WebhookProblem } from '../outbox/reconciliation.ts'
import type { Alert } from './relay-event.ts'

/** How many events, and the first of them. */
export interface ManyEvents {
  readonly count: number
  readonly events: readonly ExpectedEvent[]
}

/** Events that can never be had: their calls were deleted at the provider before the relay had seen them. */
export function reconcileGap(source: string, { count, events }: ManyEvents): Alert {
  return {
    event: 'relay.reconcile.gap',
    subject: source,
    message: `${counted(count)} never came to source "${source}" and cannot be fetched: their calls were deleted at Ultravox.`,
    facts: { gap: { source, count, events } },
  }
}

/** What does not happen while a part of the API fails. */
const CONSEQUENCES: Readonly<Record<string, string>> = {
  'GET /api/calls': 'events that never came are not fetched',
  'GET /api/calls/{call_id}': 'later events of calls already listed are not fetched',
  'GET /api/deleted_calls': 'events lost with deleted calls are not reported',
  'GET /api/webhooks': 'the webhook is not checked',
}

/** `parts`: those that have failed for long, at least one. Each has its own words, for the others may well work. */
export function reconcileFailing(source: string, parts: readonly FailingPart[]): Alert {
  const endpoints = parts.map(({ endpoint, since, failures, message }) => ({
    endpoint,
    since: iso(since),
    failures,
    problem: message,
  }))
  const sentences = endpoints.map(({ endpoint, since, failures, problem }) => {
    const consequence = CONSEQUENCES[endpoint]
    return `${endpoint} has failed ${failures} times since ${since}${consequence === undefined ? '' : `, so ${consequence}`}: ${problem}`
  })
  return {
    event: 'relay.reconcile.failing',
    subject: source,
    message: `Source "${source}": ${sentences.join('. ')}`,
    facts: { reconcile: { source, endpoints } },
  }
}

export function reconcileRecovered(source: string): Alert {
  return {
    event: 'relay.reconcile.recovered',
    subject: source,
    message: `Ultravox's API answers again for source "${source}".`,
    facts: { reconcile: { source } },
  }
}

/** Calls at the provider have fields in a form that the relay cannot read. Names the field, and never what is in it. */
export function reconcileUnreadable(source: string, { list, count, callId, field, problem }: UnreadableCalls): Alert {
  const kind = list === 'calls' ? 'call' : 'deleted call'
  const calls = `${count} ${kind}${count === 1 ? '' : 's'}`
  return {
    event: 'relay.reconcile.unreadable',
    subject: source,
    message: `Ultravox lists ${calls} for source "${source}" that cannot be read in full, such as ${callId ?? 'one without an id'}: ${problem}. Their events may be missing: upgrade the relay, or report the field.`,
    facts: { reconcile: { source, list, count, callId, field, problem } },
  }
}

export function reconcileReadable(source: string): Alert {
  return {
    event: 'relay.reconcile.readable',
    subject: source,
    message: `All calls that Ultravox lists for source "${source}" can be read again.`,
    facts: { reconcile: { source } },
  }
}

const WEBHOOK_EVENTS: Readonly<Record<WebhookProblem['kind'], RelayEventName>> = {
  missing: 'relay.webhook.missing',
  moved: 'relay.webhook.moved',
  unhealthy: 'relay.webhook.unhealthy',
  events: 'relay.webhook.events_missing',
  secrets: 'relay.webhook.secrets_unknown',
  agent: 'relay.webhook.agent_mismatch',
}

export function webhookTrouble(source: string, url: string, { kind, message }: WebhookProblem): Alert {
  return { event: WEBHOOK_EVENTS[kind], subject: source, message, facts: { webhook: { source, url } } }
}

export function webhookRestored(source: string, url: string): Alert {
  return {
    event: 'relay.webhook.restored',
    subject: source,
    message: `The webhook to ${url} at Ultravox is as it should be again.`,
    facts: { webhook: { source, url } },
  }
}

/** Events have happened at the provider since a source last had a webhook (epoch milliseconds), and none has come. */
export function sourceSilentThough(source: string, since: number, { count, events }: ManyEvents): Alert {
  const from = iso(since)
  return {
    event: 'relay.source.silent',
    subject: source,
    message: `Source "${source}" has had no webhook since ${from}, while Ultravox tells of ${counted(count)} since then; they were fetched.`,
    facts: {
      source: { name: source, lastEventAt: from },
      missed: { count, events },
    },
  }
}

function counted(events: number): string {
  return events === 1 ? '1 event' : `${events} events`
}
