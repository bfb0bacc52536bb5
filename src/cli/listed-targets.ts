import type { ListedTarget } from '../documents/targets.ts'
import { duration } from './instant.ts'
import { type Cell, cell } from './table.ts'

export function stateCell(target: ListedTarget): Cell {
  const state = stateOf(target)
  return cell(state, state === 'running' ? null : 'yellow')
}

function stateOf({ configured, pausedByConfig, pausedByCommand }: ListedTarget): string {
  const paused = pausedByConfig ? 'paused (configuration)' : pausedByCommand ? 'paused' : ''
  if (!configured) return paused === '' ? 'orphaned' : `orphaned, ${paused}`
  return paused === '' ? 'running' : paused
}

export function breakerCell({ breaker }: ListedTarget, now: number): Cell {
  if (breaker === null) return 'closed'
  const inMs = breaker.probeAt - now
  return cell(`open, probe ${inMs <= 0 ? 'due' : `in ${duration(inMs)}`}`, 'red')
}

/** How many there are of what should not be, in a style once there are any. */
export function countCell(count: number, style: 'red' | 'yellow'): Cell {
  return cell(count, count > 0 ? style : null)
}
