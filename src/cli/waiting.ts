import type { Config } from '../config/config.ts'
import type { DeliveryHistory, EventHistory, OutboxOperator } from '../outbox/operator.ts'
import { duration, iso } from './instant.ts'
import { note } from './printing.ts'
import { despiteCancelling } from './states.ts'

/** Tells on stderr where something is pending but no relay runs to send it. */
export async function tellIfNothingIsSent(operator: OutboxOperator, events: readonly EventHistory[]): Promise<void> {
  const isPending = events.some(({ deliveries }) => deliveries.some(({ state }) => state === 'pending'))
  if (isPending && (await operator.daemon())?.running === false) note('no relay is running: what is pending stays so')
}

/** A delivery's state in words; of a pending one also when it is due and what it waits for besides. */
export function stateInWords(delivery: DeliveryHistory, config: Config, now: number): string {
  const { state, dueAt, updatedAt } = delivery
  if (state === 'delivered') return state
  if (dueAt === null) return `${state} since ${iso(updatedAt)}${despiteCancelling(delivery, delivery.history)}`
  if (delivery.waitsFor === 'order') return `${state} behind an earlier delivery of its call`
  const trouble = targetTrouble(delivery, config)
  const due = dueAt > now ? `due in ${duration(dueAt - now)}` : `due for ${duration(now - dueAt)}`
  return `${state}, ${due}${trouble === null ? '' : `; ${trouble}`}`
}

/** Why nothing is sent to a target even when it is due, as far as the outbox and the configuration tell. */
function targetTrouble({ waitsFor, target }: DeliveryHistory, { targets }: Config): string | null {
  if (!Object.hasOwn(targets, target)) return 'its target is not configured (orphaned)'
  if (waitsFor === 'resume' || targets[target]!.paused) return 'its target is paused'
  if (waitsFor === 'breaker') return 'its target keeps failing (breaker open)'
  return null
}
