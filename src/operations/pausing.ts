import type { Config } from '../config/config.ts'
import { listedTargets } from '../documents/targets.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { unknownTarget } from './known-target.ts'
import { recallClaimed } from './recall.ts'

export interface Pausing {
  readonly target: string
  readonly pausedByCommand: boolean
  readonly pausedByConfig: boolean
  /** Whether the command has changed anything. */
  readonly isChanged: boolean
  readonly pending: number
  /** Of a pause: how many attempts have not ended; null where the running relay does not say. */
  readonly underWay?: number | null
}

/**
 * Pauses or resumes a target, orphaned ones too. Says how it then stands; throws `unknown_name`. Once a pause has
 * resolved, the running relay starts nothing more for it.
 */
export async function pauseTarget(
  operator: Pick<OutboxOperator, 'listTargets' | 'setPaused' | 'requestRecall' | 'recallAnswer'>,
  config: Config,
  target: string,
  paused: boolean,
  now: number,
): Promise<Pausing> {
  const targets = listedTargets(config, await operator.listTargets(now))
  const known = targets.find((each) => each.target === target)
  if (known === undefined) {
    throw unknownTarget(
      target,
      targets.map((each) => each.target),
    )
  }
  await operator.setPaused(target, paused, now)
  const { pausedByConfig, pausedByCommand, pending } = known
  const isChanged = pausedByCommand !== paused
  const done = { target, pausedByCommand: paused, pausedByConfig, isChanged, pending }
  if (!paused) return done
  return { ...done, underWay: await recallClaimed(operator, (attempt) => attempt.target === target) }
}
