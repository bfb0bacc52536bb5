import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** Answers that a target is to retry and to take for final. */
export function* checkAnswers({ targets }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (target.type !== 'http') continue
    const { retryOn = [], rejectOn = [] } = target
    for (const [index, answer] of rejectOn.entries()) {
      if (!retryOn.includes(answer)) continue
      const message = `${answer} is in retryOn as well: remove it from one of the two`
      yield { path: ['targets', name, 'rejectOn', index], message }
    }
  }
}
