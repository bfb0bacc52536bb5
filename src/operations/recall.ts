import { setTimeout as sleep } from 'node:timers/promises'
import { systemStopwatch } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { RecallDesk, SentDelivery } from '../outbox/operator.ts'

/** How often the answer is looked for, and for how long. A relay that works answers within a quarter of a second. */
const LOOK_MS = 25
const PATIENCE_MS = 5_000

/** What a command says where the running relay did not answer its recall. */
export const NOT_RECALLED = 'the relay does not answer; until restarted, it may send what it has claimed'

/** What became of deliveries that a command has cancelled. */
export interface Recalled {
  /** How many are being sent all the same; null where the running relay does not say. */
  readonly underWay: number | null
  /** How many their target had accepted by then. */
  readonly deliveredMeanwhile: number
}

export const NOTHING_SENT: Recalled = { underWay: 0, deliveredMeanwhile: 0 }

/** Runs `cancel`, has the running relay follow, and says which of the deliveries that are meant went out all the same. */
export async function cancelAndRecall<T>(
  desk: RecallDesk,
  isMeant: (delivery: SentDelivery) => boolean,
  cancel: () => Promise<T>,
): Promise<[T, Recalled]> {
  const before = await desk.lastAttempt()
  const cancelled = await cancel()
  const underWay = await recallClaimed(desk, isMeant)
  const deliveredMeanwhile = (await desk.cancelledButDelivered(before)).filter(isMeant).length
  return [cancelled, { underWay, deliveredMeanwhile }]
}

/**
 * Has the running relay drop what it has claimed, after deliveries were changed or a target was paused. Resolves with how many
 * of the attempts that are still under way are meant; null where the relay does not answer for `patienceMs` milliseconds, and
 * may still send what it had claimed. The change itself is on record, so an outbox that cannot be written to now is no error.
 */
export async function recallClaimed(
  desk: Pick<RecallDesk, 'requestRecall' | 'recallAnswer'>,
  isMeant: (delivery: SentDelivery) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<number | null> {
  const attempts = await attemptsAfterRecall(desk, patienceMs)
  return attempts === null ? null : attempts.filter(isMeant).length
}

/** The attempts under way once the running relay has dropped what it had claimed; see `recallClaimed`. */
export async function attemptsAfterRecall(
  desk: Pick<RecallDesk, 'requestRecall' | 'recallAnswer'>,
  patienceMs: number,
): Promise<readonly SentDelivery[] | null> {
  const startedAt = systemStopwatch()
  try {
    const request = await desk.requestRecall()
    if (request === null) return []
    while (systemStopwatch() - startedAt < patienceMs) {
      const attempts = await desk.recallAnswer(request)
      if (attempts !== null) return attempts
      await sleep(LOOK_MS)
    }
  } catch (error) {
    if (!(error instanceof RelayError && error.code === 'outbox_unavailable')) throw error
  }
  return null
}
