import { setTimeout as sleep } from 'node:timers/promises'
import { systemStopwatch } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { RecallDesk, ReportedAttempt } from '../outbox/operator.ts'

/** How often the answer is looked for, and for how long. A relay that works answers within a quarter of a second. */
const LOOK_MS = 25
const PATIENCE_MS = 5_000

/** What a command says where the running relay did not answer its recall. */
export const NOT_RECALLED = 'the relay does not answer; until restarted, it may send what it has claimed'

/**
 * Has the running relay drop what it has claimed, after deliveries were changed or a target was paused. Resolves with how many
 * of the attempts that are still under way are meant; null where the relay does not answer for `patienceMs` milliseconds, and
 * may still send what it had claimed. The change itself is on record, so an outbox that cannot be written to now is no error.
 */
export async function recallClaimed(
  desk: RecallDesk,
  isMeant: (attempt: ReportedAttempt) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<number | null> {
  const startedAt = systemStopwatch()
  try {
    const request = await desk.requestRecall()
    if (request === null) return 0
    while (systemStopwatch() - startedAt < patienceMs) {
      const attempts = await desk.recallAnswer(request)
      if (attempts !== null) return attempts.filter(isMeant).length
      await sleep(LOOK_MS)
    }
  } catch (error) {
    if (!(error instanceof RelayError && error.code === 'outbox_unavailable')) throw error
  }
  return null
}
