import { RELAY_SOURCE, type RelayEventName } from '../domain/relay-events.ts'
import { inline } from './slack-text.ts'

/** How the provider's events read. Others go by their own name. */
const CALL_TITLES: Readonly<Record<string, string>> = {
  'call.started': 'Call started',
  'call.joined': 'Call joined',
  'call.ended': 'Call ended',
  'call.billed': 'Call billed',
}

/** How the relay's own events read. */
const RELAY_TITLES: Readonly<Record<RelayEventName, string>> = {
  'relay.delivery.dead': 'Delivery dead',
  'relay.target.opened': 'Target failing',
  'relay.target.closed': 'Target well again',
  'relay.target.calls_held': 'Calls held',
  'relay.target.calls_released': 'Calls released',
  'relay.source.silent': 'Source silent',
  'relay.source.resumed': 'Source active again',
  'relay.backlog.old': 'Backlog old',
  'relay.backlog.cleared': 'Backlog cleared',
  'relay.outbox.low_space': 'Disk nearly full',
  'relay.outbox.space_recovered': 'Disk has room again',
  'relay.outbox.full': 'Outbox over its size',
  'relay.outbox.size_recovered': 'Outbox within its size again',
  'relay.outbox.wal_pinned': 'Outbox WAL pinned',
  'relay.outbox.wal_released': 'Outbox WAL released',
  'relay.certificate.expiring': 'Certificate expires soon',
  'relay.certificate.expired': 'Certificate expired',
  'relay.certificate.renewed': 'Certificate renewed',
  'relay.certificate.reload_failed': 'Renewed certificate not loaded',
  'relay.certificate.reloaded': 'Certificate files loaded',
  'relay.reconcile.gap': 'Events lost',
  'relay.reconcile.failing': 'Reconciliation failing',
  'relay.reconcile.recovered': 'Reconciliation recovered',
  'relay.reconcile.unreadable': 'Calls at Ultravox unreadable',
  'relay.reconcile.readable': 'Calls at Ultravox readable again',
  'relay.webhook.missing': 'Webhook missing at Ultravox',
  'relay.webhook.moved': 'Webhook at Ultravox leads elsewhere',
  'relay.webhook.unhealthy': 'Webhook unhealthy',
  'relay.webhook.events_missing': 'Webhook lacks events',
  'relay.webhook.secrets_unknown': 'Webhook has a secret we do not know',
  'relay.webhook.agent_mismatch': "Webhook is for other agents' calls",
  'relay.webhook.restored': 'Webhook well again',
}

const END_REASONS: Readonly<Record<string, string>> = {
  unjoined: 'nobody joined',
  hangup: 'the client hung up',
  agent_hangup: 'the agent hung up',
  timeout: 'timed out',
  connection_error: 'connection error',
  system_error: 'system error',
}

const BILLING_STATUSES: Readonly<Record<string, string>> = {
  BILLING_STATUS_PENDING: 'not billed yet',
  BILLING_STATUS_FREE_CONSOLE: 'free, started in the Ultravox console',
  BILLING_STATUS_FREE_ZERO_EFFECTIVE_DURATION: 'free, effective duration zero',
  BILLING_STATUS_FREE_MINUTES: 'from the free minutes',
  BILLING_STATUS_FREE_SYSTEM_ERROR: 'free, ended by a system error',
  BILLING_STATUS_FREE_OTHER: 'free',
  BILLING_STATUS_BILLED: '',
  BILLING_STATUS_REFUNDED: 'refunded',
  BILLING_STATUS_UNSPECIFIED: 'in an unexpected billing state',
}

const NAME_LIMIT = 80
const SUMMARY_LIMIT = 300
const ALERT_LIMIT = 600

/** `source`: only an event of the relay's own source is an alert, whatever others are called. */
export interface MessageEvent {
  readonly event: string
  readonly callId: string | null
  readonly source: string | undefined
}

/**
 * The message for an event where the configuration has none of its own. Takes a payload of any shape and leaves out
 * what is missing or odd. Only the agent's name, times, reasons, the short summary and the call id are shown: never
 * the join URL, the prompt, metadata or phone numbers.
 */
export function defaultMessage({ event, callId, source }: MessageEvent, payload: unknown): string {
  const isOwn = source === RELAY_SOURCE
  const titles: Readonly<Record<string, string>> = isOwn ? RELAY_TITLES : CALL_TITLES
  const call = objectIn(payload, 'call')
  const title = Object.hasOwn(titles, event) ? titles[event] : inline(event, NAME_LIMIT)
  const agent = inline(textIn(objectIn(call, 'agent'), 'name'), NAME_LIMIT)
  const facts = isOwn ? alertFacts(payload) : factsOf(event, call)
  const headline = [`*${title}*`, agent, ...facts].filter((part) => part !== '').join(' · ')
  const summary = isOwn
    ? inline(textIn(Object(payload), 'message'), ALERT_LIMIT)
    : inline(summaryOf(event, call), SUMMARY_LIMIT)
  const id = inline(callId ?? '', NAME_LIMIT)
  const more = isOwn ? alertLines(payload) : []
  return [headline, summary && `> ${summary}`, id && code(id), ...more].filter((line) => line !== '').join('\n')
}

/** What an alert is about, and how many times it was raised. */
function alertFacts(payload: unknown): string[] {
  const { count } = Object(payload) as { count?: unknown }
  const [target, source] = ['target', 'source'].map((key) => textIn(objectIn(payload, key), 'name'))
  const others = [
    textIn(objectIn(payload, 'delivery'), 'target'),
    textIn(objectIn(payload, 'certificate'), 'place'),
    ...['webhook', 'reconcile', 'gap'].map((key) => textIn(objectIn(payload, key), 'source')),
  ]
  const subject = [target, source, ...others].find((each) => each !== undefined && each !== '') ?? ''
  return [inline(subject, NAME_LIMIT), typeof count === 'number' && count > 1 ? `${count} times` : '']
}

/** The deliveries and calls of an alert, and the command to run next. */
function alertLines(payload: unknown): string[] {
  const { deliveries, delivery } = Object(payload) as { deliveries?: unknown; delivery?: unknown }
  const named = Array.isArray(deliveries) ? deliveries : delivery === undefined ? [] : [delivery]
  const ids = named.map((each) => {
    const { deliveryId } = Object(each) as { deliveryId?: unknown }
    const callId = inline(textIn(Object(each), 'callId'), NAME_LIMIT)
    return `delivery ${inline(String(deliveryId), NAME_LIMIT)}${callId === '' ? '' : `, call ${code(callId)}`}`
  })
  const next = inline(textIn(Object(payload), 'next'), NAME_LIMIT)
  return [...ids, next && `Next: ${code(next)}`]
}

function code(text: string): string {
  return `\`${text.replaceAll('`', "'")}\``
}

function summaryOf(event: string, call: object): string {
  return event === 'call.ended' ? textIn(call, 'shortSummary') : ''
}

function factsOf(event: string, call: object): string[] {
  if (event === 'call.ended') {
    return [callDuration(call), wordsFor(textIn(call, 'endReason'), END_REASONS)]
  }
  if (event === 'call.billed') {
    return [billedDuration(call), wordsFor(textIn(call, 'billingStatus'), BILLING_STATUSES)]
  }
  return []
}

/** What the provider may add later is shown as it is, in lower case and with spaces. */
function wordsFor(code: string, words: Readonly<Record<string, string>>): string {
  if (Object.hasOwn(words, code)) return words[code]!
  return inline(
    code
      .replace(/^BILLING_STATUS_/, '')
      .replaceAll('_', ' ')
      .toLowerCase(),
    NAME_LIMIT,
  )
}

function callDuration(call: object): string {
  const seconds = (epochMs(textIn(call, 'ended')) - epochMs(textIn(call, 'joined'))) / 1000
  return seconds >= 0 ? inWords(seconds) : ''
}

/** The payload has it as seconds with an `s` behind, such as `192s`. */
function billedDuration(call: object): string {
  const seconds = /^(\d{1,9}(?:\.\d+)?)s$/.exec(textIn(call, 'billedDuration'))?.[1]
  return seconds === undefined ? '' : inWords(Number(seconds))
}

/** `45s`, `3m 12s`, `1h 2m 3s`. */
function inWords(exactSeconds: number): string {
  const seconds = Math.round(exactSeconds)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const parts = [hours > 0 && `${hours}h`, (hours > 0 || minutes > 0) && `${minutes}m`, `${seconds % 60}s`]
  return parts.filter((part) => part !== false).join(' ')
}

/** NaN where it is no ISO time. Without an offset it is UTC, which `Date` would take for local time. */
function epochMs(time: string): number {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(time)) return Number.NaN
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/i.test(time) ? time : `${time}Z`)
}

function objectIn(value: unknown, key: string): object {
  const inner: unknown = Object(value)[key]
  return typeof inner === 'object' && inner !== null ? inner : {}
}

function textIn(value: object, key: string): string {
  const inner = (value as Record<string, unknown>)[key]
  return typeof inner === 'string' ? inner : ''
}
