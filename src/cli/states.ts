import type { Attempt } from '../domain/delivery.ts'
import type { DeliveryCounts, DeliverySummary } from '../outbox/operator.ts'
import { iso } from './instant.ts'
import type { Style } from './style.ts'
import { type Cell, cell } from './table.ts'

/** The style that a delivery's state is shown in: what has failed and is still tried stands out from what is new. */
export function stateStyle({ state, lastError }: Pick<DeliverySummary, 'state' | 'lastError'>): Style | null {
  if (state === 'delivered') return 'green'
  if (state === 'dead') return 'red'
  if (state === 'cancelled') return 'dim'
  return lastError === null ? null : 'yellow'
}

export function stateCell(delivery: Pick<DeliverySummary, 'state' | 'lastError'>): Cell {
  return cell(delivery.state, stateStyle(delivery))
}

/** Says of a cancelled delivery that the target has it: from an attempt that was under way, or from before a retry. */
export function despiteCancelling({ state }: Pick<DeliverySummary, 'state'>, history: readonly Attempt[]): string {
  const delivered = history.findLast(({ outcome }) => outcome === 'delivered')
  if (state !== 'cancelled' || delivered === undefined) return ''
  return `, but delivered at ${iso(delivered.startedAt + delivered.durationMs)}`
}

export function outcomeStyle({ outcome }: Pick<Attempt, 'outcome'>): Style {
  return outcome === 'delivered' ? 'green' : 'red'
}

export function outcomeCell(attempt: Pick<Attempt, 'outcome'>): Cell {
  return cell(attempt.outcome, outcomeStyle(attempt))
}

/** What became of the deliveries of an event or a call, the worst first: `dead 1, failing 2, delivered 3`. */
export function deliveriesCell({ pending, failing, ...counts }: DeliveryCounts): Cell {
  const parts = {
    dead: counts.dead,
    failing,
    pending: pending - failing,
    cancelled: counts.cancelled,
    delivered: counts.delivered,
  }
  const present = Object.entries(parts).filter(([, count]) => count > 0)
  if (present.length === 0) return cell('none', 'dim')
  const style = counts.dead > 0 ? 'red' : failing > 0 ? 'yellow' : pending > 0 ? null : 'green'
  return cell(present.map(([state, count]) => `${state} ${count}`).join(', '), style)
}

/** The cell of a column that a table of attempts has only where one of them has a note. */
export function noteColumn<C extends Cell>(attempts: readonly Pick<Attempt, 'note'>[], content: C): C[] {
  return attempts.some(({ note }) => note !== null) ? [content] : []
}
