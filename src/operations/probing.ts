import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { attemptDocument, deliveryDocument } from '../documents/histories.ts'
import { isoOrNull } from '../documents/instants.ts'
import { listedTargets } from '../documents/targets.ts'
import { systemStopwatch } from '../domain/clock.ts'
import type { Attempt } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import type { DeliveryHistory, OutboxOperator, ProbeResult } from '../outbox/operator.ts'
import { unknownTarget } from './known-target.ts'

/** How often the result is looked for. */
const LOOK_MS = 50
/** How long the relay may take beyond the attempt itself. */
const PATIENCE_MS = 10_000

export interface Probing {
  readonly target: string
  /** `unanswered`: the relay has not reported the end of the attempt in time. */
  readonly outcome: ProbeResult['outcome'] | 'unanswered'
  /** As it is after the attempt; null where none was made. */
  readonly delivery: DeliveryHistory | null
  readonly attempt: Attempt | null
  /** When the next probe is due; null: the circuit is closed. */
  readonly probeAt: number | null
  readonly pending: number
}

export type Prober = Pick<OutboxOperator, 'listTargets' | 'requestProbe' | 'probeResult' | 'showDelivery'>

/**
 * Has the running relay make one attempt at a target, whatever its cooldown, backoff or throttle, and waits for the end.
 * Throws `unknown_name` and `daemon_unreachable`.
 */
export async function probeTarget(
  operator: Prober,
  config: Config,
  target: string,
  now: () => number,
  signal?: AbortSignal,
): Promise<Probing> {
  const targets = listedTargets(config, await operator.listTargets(now()))
  const names = targets.map((each) => each.target)
  if (!names.includes(target)) throw unknownTarget(target, names)
  const request = await operator.requestProbe(target, now())
  if (request === null) throw new RelayError('daemon_unreachable', NO_RELAY)
  const patienceMs = PATIENCE_MS + (config.targets[target]?.timeoutMs ?? 0)
  const result = await resultOf(operator, target, request, patienceMs, signal)
  const delivery = 'deliveryId' in result ? await operator.showDelivery(result.deliveryId) : null
  const after = (await operator.listTargets(now())).find((each) => each.target === target)
  return {
    target,
    outcome: result.outcome,
    delivery,
    attempt: delivery?.history.at(-1) ?? null,
    probeAt: after?.breaker?.probeAt ?? null,
    pending: after?.pending ?? 0,
  }
}

const NO_RELAY = 'no relay is running on this outbox: start it, or send a sample with "ultravox-relay targets test"'

async function resultOf(
  operator: Prober,
  target: string,
  request: number,
  patienceMs: number,
  signal: AbortSignal | undefined,
): Promise<ProbeResult | { readonly outcome: 'unanswered' }> {
  const startedAt = systemStopwatch()
  while (systemStopwatch() - startedAt < patienceMs && signal?.aborted !== true) {
    const result = await operator.probeResult(target, request)
    if (result !== null) return result
    await sleep(LOOK_MS)
  }
  return { outcome: 'unanswered' }
}

/** The end of a probe, for scripts. */
export function probeDocument({ delivery, attempt, probeAt, ...probing }: Probing): object {
  const { history: _, place: __, ...summary } = delivery ?? {}
  return {
    ...probing,
    breaker: probeAt === null ? 'closed' : 'open',
    probeAt: isoOrNull(probeAt),
    delivery: delivery === null ? null : deliveryDocument(summary as DeliveryHistory),
    attempt: attempt === null ? null : attemptDocument(attempt),
  }
}

/** Why no attempt was made, and what to do; null where one was. */
export function probeObstacle({ target, outcome, pending }: Probing): string | null {
  switch (outcome) {
    case 'attempted':
      return null
    case 'nothing_ready':
      return pending === 0
        ? `nothing is pending for ${target}; to send it a sample: targets test ${target}`
        : `nothing of the ${pending} pending for ${target} can be sent now: under way, or behind others of their calls`
    case 'paused':
      return `${target} is paused, so nothing was sent; to go on: targets resume ${target}`
    case 'not_configured':
      return `${target} is not configured; to move what waits for it: deliveries move --target ${target} --to NEW`
    case 'no_slot':
      return `attempts under way take all of the concurrency of ${target}; nothing more was sent`
    case 'rate_limited':
      return `rateLimit of ${target} allows no attempt now; try again in a moment`
    case 'outbox_unavailable':
      return 'the relay cannot read its outbox now; see its log'
    case 'interrupted':
      return 'the relay is starting or stopping; try again once it runs'
    case 'unanswered':
      return 'the relay has not reported the end of an attempt; see targets list and its log'
  }
}
