import { type Attempt, type Delivery, ERASED, withoutAnswer } from '../domain/delivery.ts'
import type { Payload } from '../domain/event.ts'
import { iso } from '../domain/iso.ts'
import type { RelayEventName } from '../domain/relay-events.ts'
import type { HeldBacklog } from '../outbox/outbox.ts'
import { nextCommand } from './next-command.ts'

/** Something an operator may want to know, before it becomes an event. */
export interface Alert {
  readonly event: RelayEventName
  /** What it is about: alerts of one name about one subject are folded. */
  readonly subject: string
  /** Sets alerts about one subject apart, such as by their cause: those of another kind are not folded together. */
  readonly kind?: string
  /** One plain sentence. */
  readonly message: string
  /** What the payload holds besides. Never a secret, and nothing of a call but its id. */
  readonly facts: Readonly<Record<string, object>>
  /** Of one that quotes a target: the event of the delivery, and the alert to send once that event is erased. */
  readonly quotes?: { readonly eventId: string; readonly erased: Alert }
  /** The deliveries that it is about, the first few of those folded into it. */
  readonly deliveries?: readonly AlertedDelivery[]
}

export interface AlertedDelivery {
  readonly deliveryId: number
  readonly eventId: string
  readonly callId: string | null
}

/** Longest piece of somebody else's text in a message; the facts have all of it. */
const QUOTE_LIMIT = 200

/** The payload that stands for `count` raisings of an alert, of which this is the last. `at` in epoch milliseconds. */
export function payloadOf(alert: Alert, at: number, count: number): Payload {
  const { event, message, facts, deliveries = [] } = alert
  return {
    event,
    at: iso(at),
    count,
    message: count === 1 ? message : `${message} (The last of ${count} since the previous alert.)`,
    next: nextCommand(event, facts, count),
    ...facts,
    ...(deliveries.length > 1 && { deliveries }),
  }
}

export function deadDelivery(delivery: Delivery, attempt: Attempt): Alert {
  const alert = deadAfter(delivery, attempt)
  if (attempt.error === null) return alert
  return { ...alert, quotes: { eventId: delivery.event.eventId, erased: deadAfter(delivery, withoutAnswer(attempt)) } }
}

function deadAfter({ deliveryId, target, event }: Delivery, { attempt, status, error }: Attempt): Alert {
  const { eventId, source, event: name, callId } = event
  const tries = attempt === 1 ? '1 attempt' : `${attempt} attempts`
  const why = error === null ? '' : `: ${quoted(error)}`
  return {
    event: 'relay.delivery.dead',
    subject: target,
    kind: causeOf(status, error),
    deliveries: [{ deliveryId, eventId, callId }],
    message: `A delivery of ${quoted(name)} to target "${target}" is dead after ${tries}${why}`,
    facts: {
      delivery: { deliveryId, target, eventId, source, event: name, callId, attempts: attempt, status, error },
    },
  }
}

/** The beginning of an error and the status: there are few of them, whatever a target answers. */
function causeOf(status: number | null, error: string | null): string {
  return `${/^[a-z]{1,20}(?=[: ]|$)/.exec(error ?? '')?.[0] ?? ''} ${status ?? ''}`
}

/** The last failure before a circuit opened. */
export interface OpeningFailure {
  readonly delivery: Delivery
  readonly status: number | null
  readonly error: string
}

/** `failure`: null where it is not known, as for a circuit that was open before the start. */
export function targetOpened(target: string, probeAt: number, failure: OpeningFailure | null = null): Alert {
  if (failure === null) return openedAfter(target, probeAt, null)
  const erased = openedAfter(target, probeAt, { ...failure, error: ERASED })
  return {
    ...openedAfter(target, probeAt, failure),
    quotes: { eventId: failure.delivery.event.eventId, erased },
  }
}

function openedAfter(target: string, probeAt: number, failure: OpeningFailure | null): Alert {
  const at = iso(probeAt)
  const why = failure === null ? '' : ` (last error: ${quoted(failure.error)})`
  return {
    event: 'relay.target.opened',
    subject: target,
    message: `Target "${target}" keeps failing${why}: its deliveries wait, and the next attempt is made at ${at}.`,
    facts: { target: { name: target, probeAt: at }, ...(failure !== null && { delivery: deliveryFacts(failure) }) },
  }
}

function deliveryFacts({ delivery: { deliveryId, target, event }, status, error }: OpeningFailure): object {
  const { eventId, source, event: name, callId } = event
  return { deliveryId, target, eventId, source, event: name, callId, status, error }
}

export function targetClosed(target: string): Alert {
  return {
    event: 'relay.target.closed',
    subject: target,
    message: `Target "${target}" answers again: what has waited for it is on its way.`,
    facts: { target: { name: target } },
  }
}

/** `lastEventAt`: null where no event has come since the start. */
export function sourceSilent(source: string, expectWithinMs: number, lastEventAt: number | null): Alert {
  const since = lastEventAt === null ? 'since the start' : `since ${iso(lastEventAt)}`
  return {
    event: 'relay.source.silent',
    subject: source,
    message: `Source "${source}" has had no genuine event ${since}, for longer than ${duration(expectWithinMs)}.`,
    facts: {
      source: { name: source, expectWithinMs, lastEventAt: lastEventAt === null ? null : iso(lastEventAt) },
    },
  }
}

export function sourceResumed(source: string): Alert {
  return {
    event: 'relay.source.resumed',
    subject: source,
    message: `Source "${source}" has genuine events again.`,
    facts: { source: { name: source } },
  }
}

export function backlogOld(target: string, alertAfterMs: number, oldestDueAt: number): Alert {
  const [since, after] = [iso(oldestDueAt), duration(alertAfterMs)]
  return {
    event: 'relay.backlog.old',
    subject: target,
    message: `The oldest due delivery to target "${target}" has waited since ${since}, for longer than ${after}.`,
    facts: { target: { name: target, alertAfterMs, oldestDueAt: since } },
  }
}

export function callsHeld(target: string, alertAfterMs: number, { deliveries, calls, since }: HeldBacklog): Alert {
  const [heldSince, after] = [iso(since), duration(alertAfterMs)]
  const what = `Dead deliveries to target "${target}" hold ${calls === 1 ? '1 call' : `${calls} calls`}`
  const others = deliveries === 1 ? '1 delivery waits' : `${deliveries} deliveries wait`
  return {
    event: 'relay.target.calls_held',
    subject: target,
    message: `${what}: ${others} behind them, since ${heldSince}, for longer than ${after}. Retry or cancel the dead ones.`,
    facts: { target: { name: target, alertAfterMs, held: deliveries, heldCalls: calls, heldSince } },
  }
}

export function callsReleased(target: string): Alert {
  return {
    event: 'relay.target.calls_released',
    subject: target,
    message: `No call is held at target "${target}" any more.`,
    facts: { target: { name: target } },
  }
}

export function backlogCleared(target: string): Alert {
  return {
    event: 'relay.backlog.cleared',
    subject: target,
    message: `No due delivery to target "${target}" has waited for too long any more.`,
    facts: { target: { name: target } },
  }
}

export function spaceRecovered(freeBytes: number): Alert {
  return {
    event: 'relay.outbox.space_recovered',
    subject: 'outbox',
    message: `The file system of the outbox has ${megabytes(freeBytes)} free: events are accepted again.`,
    facts: { outbox: { freeBytes } },
  }
}

export function lowSpace(freeBytes: number, reserveBytes: number): Alert {
  const [free, reserve] = [megabytes(freeBytes), megabytes(reserveBytes)]
  return {
    event: 'relay.outbox.low_space',
    subject: 'outbox',
    message: `The file system of the outbox has ${free} left, less than the reserve of ${reserve}: events are refused until there is more.`,
    facts: { outbox: { freeBytes, reserveBytes } },
  }
}

function quoted(text: string): string {
  return text.length <= QUOTE_LIMIT ? text : `${text.slice(0, QUOTE_LIMIT)}…`
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }

/** In the largest unit that leaves no fraction: `90m`, `15m`, `2d`. */
function duration(ms: number): string {
  const [unit, size] = Object.entries(UNITS).find(([, each]) => ms % each === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

/** Downwards, so that less than the reserve never reads as much as it. */
export function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)}mb`
}
