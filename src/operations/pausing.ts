import type { Config } from '../config/config.ts'
import { listedTargets } from '../documents/targets.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { unknownTarget } from './known-target.ts'

/** Pauses or resumes a target, orphaned ones too. Says how it then stands; throws `not_found`. */
export async function pauseTarget(
  operator: Pick<OutboxOperator, 'listTargets' | 'setPaused'>,
  config: Config,
  target: string,
  paused: boolean,
  now: number,
) {
  const targets = listedTargets(config, await operator.listTargets(now))
  const known = targets.find((each) => each.target === target)
  if (known === undefined) {
    throw unknownTarget(
      target,
      targets.map((each) => each.target),
    )
  }
  await operator.setPaused(target, paused, now)
  return { target, pausedByCommand: paused, pausedByConfig: known.pausedByConfig, pending: known.pending }
}
