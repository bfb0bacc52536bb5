import type { Config } from '../config/config.ts'
import { type TargetWait, waitsFor } from '../documents/waits.ts'
import { MOST_INTERRUPTED_STARTS } from '../domain/interrupted-starts.ts'
import { countEach } from '../operations/counts.ts'
import type { UnderWay } from '../operations/under-way.ts'
import type { DeliveryHistory, EventHistory, OutboxOperator } from '../outbox/operator.ts'
import { rateInWords } from './forecasts.ts'
import { ago, duration, iso } from './instant.ts'
import { counted, note } from './printing.ts'
import { despiteCancelling } from './states.ts'

/** Tells on stderr where something is pending but no relay runs to send it. */
export async function tellIfNothingIsSent(operator: OutboxOperator, events: readonly EventHistory[]): Promise<void> {
  const isPending = events.some(({ deliveries }) => deliveries.some(({ state }) => state === 'pending'))
  if (isPending && (await operator.daemon())?.running === false) note('no relay is running: what is pending stays so')
}

/** Tells on stderr that what was queued is not sent before a relay runs. */
export async function tellIfNoRelayRuns(operator: Pick<OutboxOperator, 'daemon'>): Promise<void> {
  if ((await operator.daemon())?.running !== true) note('no relay is running: nothing is sent before it is started')
}

/** A delivery's state in words; of a pending one also when it is due and what else it waits for. */
export function stateInWords(
  delivery: DeliveryHistory,
  config: Config,
  now: number,
  underWay: UnderWay = new Map(),
): string {
  const { state, dueAt, updatedAt } = delivery
  if (state === 'delivered') return state
  if (dueAt === null) return `${state} since ${iso(updatedAt)}${despiteCancelling(delivery, delivery.history)}`
  const sendingSince = underWay.get(delivery.deliveryId)
  if (sendingSince !== undefined) return `being sent since ${duration(now - sendingSince)}`
  const wait = waitsFor(delivery, config, now)
  if (wait?.reason === 'held') return `${state}, held by dead delivery ${wait.deliveryId}`
  if (wait?.reason === 'order') {
    return `${state} behind delivery ${wait.deliveryId}, ${dueInWords(wait.dueAt, wait.waitsFor, now)}`
  }
  return `${state}, ${dueInWords(dueAt, wait, now)}`
}

function dueInWords(dueAt: number, wait: TargetWait | null, now: number): string {
  const due = dueAt > now ? `due in ${duration(dueAt - now)}` : `due for ${duration(now - dueAt)}`
  const reason = wait === null || wait.reason === 'backoff' ? null : reasonInWords(wait, now)
  return reason === null ? due : `${due}; ${reason}`
}

function reasonInWords(wait: Exclude<TargetWait, { reason: 'backoff' }>, now: number): string {
  switch (wait.reason) {
    case 'not_configured':
      return 'its target is not configured'
    case 'paused':
      return wait.by === 'configuration' ? 'the configuration pauses its target' : 'its target is paused'
    case 'circuit':
      return `circuit open, ${wait.probeAt > now ? `probe in ${duration(wait.probeAt - now)}` : 'probe due'}`
    case 'throttled':
      return `target throttled, ${wait.until > now ? `for ${duration(wait.until - now)}` : 'next attempt due'}`
    case 'interrupted':
      return 'sent on its own after unexpected ends of the relay'
    case 'rate_limit':
      return `${wait.ahead} due before it, at most ${rateInWords(wait)}`
  }
}

/** What a delivery waits for and what can be done, a line each; none where it is sent next, or has ended. */
export function waitLines(delivery: DeliveryHistory, config: Config, now: number): string[] {
  const wait = waitsFor(delivery, config, now)
  if (wait === null) return []
  const { target } = delivery
  if (wait.reason === 'held') {
    const { deliveryId: dead, event, deadSince, error } = wait
    return [
      `held by delivery ${dead} (${event}), dead since ${iso(deadSince)}`,
      ...(error === null ? [] : [`its error: ${error}`]),
      `to release this call: deliveries retry ${dead}, or deliveries cancel ${dead}`,
    ]
  }
  if (wait.reason === 'order') {
    const lines = wait.waitsFor === null ? [] : targetLines(wait.waitsFor, target, wait.deliveryId)
    return [`behind delivery ${wait.deliveryId} (${wait.event}), due ${ago(wait.dueAt, now)}`, ...lines]
  }
  return targetLines(wait, target, delivery.deliveryId)
}

function targetLines(wait: TargetWait, target: string, deliveryId: number): string[] {
  switch (wait.reason) {
    case 'not_configured':
      return [`target ${target} is not configured`, `give it up: deliveries cancel --target ${target}`]
    case 'paused':
      return wait.by === 'configuration'
        ? [`target ${target} is paused by the configuration (paused: true)`]
        : [`target ${target} is paused by command; to go on: targets resume ${target}`]
    case 'circuit':
      return [`circuit of ${target} open until ${iso(wait.probeAt)}, then a probe`]
    case 'throttled':
      return [`${target} asked for no requests until ${iso(wait.until)} (429 or Retry-After)`]
    case 'backoff':
      return [`in backoff until ${iso(wait.dueAt)}${wait.error === null ? '' : ` after: ${wait.error}`}`]
    case 'interrupted':
      return [
        'sent on its own: the relay ended unexpectedly during its last attempts',
        `dead after ${MOST_INTERRUPTED_STARTS} of them in a row; give it up: deliveries cancel ${deliveryId}`,
      ]
    case 'rate_limit':
      return [`${wait.ahead} deliveries are due before it; rateLimit sends at most ${rateInWords(wait)}`]
  }
}

/** Tells on stderr which dead deliveries of a call hold others, and the commands that release them. */
export function tellOfHolds(events: readonly EventHistory[], config: Config, now: number): void {
  const held = events
    .flatMap(({ deliveries }) => deliveries)
    .flatMap((delivery) => {
      const wait = waitsFor(delivery, config, now)
      return wait?.reason === 'held' ? [wait.deliveryId] : []
    })
  for (const [dead, count] of countEach(held.map(String))) {
    const others = `${counted(count, 'delivery')} of its call`
    note(`dead delivery ${dead} holds ${others}: deliveries retry ${dead}, or deliveries cancel ${dead}`)
  }
}
