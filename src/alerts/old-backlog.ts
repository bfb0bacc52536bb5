import type { Clock } from '../domain/clock.ts'
import type { Outbox } from '../outbox/outbox.ts'
import { type Alert, backlogCleared, backlogOld } from './relay-event.ts'
import { intervalFor, type Watch } from './watches.ts'

export interface OldBacklogOptions {
  readonly targets: readonly string[]
  readonly alertAfterMs: number
  readonly outbox: Pick<Outbox, 'oldestDueAt'>
  readonly clock: Clock
  readonly raise: (alert: Alert) => void
  readonly recovered: (alert: Alert) => void
}

/**
 * Tells of a target whose oldest due delivery waits for too long, be it failing, slow or paused: once, until that is
 * over. Only what two looks in a row have seen counts: a clock that jumps ahead makes what was to be tried later look
 * old, and by the second look the lane, which notices within half a minute, has had its turn.
 */
export function watchBacklog({ targets, alertAfterMs, outbox, clock, raise, recovered }: OldBacklogOptions): Watch {
  const states = new Map<string, 'seen' | 'told'>()
  return {
    name: 'old backlog',
    everyMs: intervalFor(alertAfterMs),
    async check() {
      for (const target of targets) {
        const now = clock.now()
        const oldestDueAt = await outbox.oldestDueAt(target, now)
        const state = states.get(target)
        if (oldestDueAt === null || now - oldestDueAt <= alertAfterMs) {
          states.delete(target)
          recovered(backlogCleared(target))
        } else if (state === undefined) states.set(target, 'seen')
        else if (state === 'seen') {
          states.set(target, 'told')
          raise(backlogOld(target, alertAfterMs, oldestDueAt))
        }
      }
    },
  }
}
