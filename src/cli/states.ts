import type { Attempt } from '../domain/delivery.ts'
import type { DeliverySummary } from '../outbox/operator.ts'
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

/** The cell of a column that a table of attempts has only where one of them has a note. */
export function noteColumn<C extends Cell>(attempts: readonly Pick<Attempt, 'note'>[], content: C): C[] {
  return attempts.some(({ note }) => note !== null) ? [content] : []
}
