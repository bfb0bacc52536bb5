import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** Keys about a target's pace that contradict each other. */
export function* checkPacing({ targets }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    const path = ['targets', name]
    if ('onDead' in target && target.onDead !== undefined && target.ordered === undefined) {
      yield { path: [...path, 'onDead'], message: 'has no meaning without an order: add ordered: call, or remove it' }
    }
    const { breaker } = target
    if (breaker !== undefined && breaker.maxCooldown < breaker.cooldown) {
      yield { path: [...path, 'breaker'], message: 'maxCooldown is shorter than cooldown: make it the same or longer' }
    }
  }
}
