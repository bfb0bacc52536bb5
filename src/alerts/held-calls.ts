import type { Clock } from '../domain/clock.ts'
import type { Outbox } from '../outbox/outbox.ts'
import { type Alert, callsHeld, callsReleased } from './relay-event.ts'
import { intervalFor, type Watch } from './watches.ts'

export interface HeldCallsOptions {
  readonly targets: readonly string[]
  readonly alertAfterMs: number
  readonly outbox: Pick<Outbox, 'heldBacklog'>
  readonly clock: Clock
  readonly raise: (alert: Alert) => void
  readonly recovered: (alert: Alert) => void
}

/**
 * Raises an alert for a target where dead deliveries have kept others of their calls waiting for too long: nothing sends those
 * before an operator acts, and none of them is due.
 */
export function watchHeldCalls({ targets, alertAfterMs, outbox, clock, raise, recovered }: HeldCallsOptions): Watch {
  return {
    name: 'held calls',
    everyMs: intervalFor(alertAfterMs),
    async check() {
      for (const target of targets) {
        const held = await outbox.heldBacklog(target)
        if (held === null) recovered(callsReleased(target))
        else if (clock.now() - held.since > alertAfterMs) raise(callsHeld(target, alertAfterMs, held))
      }
    },
  }
}
