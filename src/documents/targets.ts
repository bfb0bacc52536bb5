import type { Config } from '../config/config.ts'
import { NO_DELIVERIES, type TargetSummary } from '../outbox/operator.ts'
import { isoOrNull } from './instants.ts'

/** A target of the configuration or the outbox, as it is shown. */
export interface ListedTarget extends Omit<TargetSummary, 'paused'> {
  /** Null where it is not configured. */
  readonly type: string | null
  readonly configured: boolean
  readonly pausedByConfig: boolean
  readonly pausedByCommand: boolean
}

const NOTHING = {
  paused: false,
  breaker: null,
  throttle: null,
  ...NO_DELIVERIES,
  deliveredPerMinute: 0,
  timedOut: 0,
  lastError: null,
  lastProbe: null,
}

/** The configured targets in the order of the configuration, then the orphaned ones. */
export function listedTargets({ targets }: Config, summaries: readonly TargetSummary[]): ListedTarget[] {
  const byName = new Map(summaries.map((summary) => [summary.target, summary]))
  const orphaned = summaries.filter(
    // One that is gone and has left nothing but the memory of a closed breaker is of no interest.
    ({ target, paused, breaker, pending, dead }) =>
      !Object.hasOwn(targets, target) && (paused || breaker !== null || pending > 0 || dead > 0),
  )
  return [...Object.keys(targets), ...orphaned.map(({ target }) => target)].map((target) => {
    const { paused, ...summary } = byName.get(target) ?? { ...NOTHING, target }
    const configured = Object.hasOwn(targets, target) ? targets[target]! : null
    return {
      ...summary,
      type: configured?.type ?? null,
      configured: configured !== null,
      pausedByConfig: configured?.paused ?? false,
      pausedByCommand: paused,
    }
  })
}

/** A target for scripts: instants in ISO. */
export function targetDocument(listed: ListedTarget) {
  const { breaker, throttle, oldestDueAt, oldestHeldAt, lastError, lastProbe, ...target } = listed
  return {
    ...target,
    breaker: breaker === null ? 'closed' : 'open',
    probeAt: isoOrNull(breaker?.probeAt ?? null),
    throttledUntil: isoOrNull(throttle?.until ?? null),
    oldestDueAt: isoOrNull(oldestDueAt),
    oldestHeldAt: isoOrNull(oldestHeldAt),
    lastError: lastError?.error ?? null,
    lastErrorAt: isoOrNull(lastError?.at ?? null),
    lastProbe: lastProbe === null ? null : { ...lastProbe, startedAt: isoOrNull(lastProbe.startedAt) },
  }
}
