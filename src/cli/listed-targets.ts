import type { ListedTarget } from '../documents/targets.ts'
import { duration } from './instant.ts'
import { type Cell, cell } from './table.ts'

/** `isRunning`: whether a relay runs that could send to it. */
export function stateCell(target: ListedTarget, isRunning: boolean): Cell {
  const isPaused = target.pausedByConfig || target.pausedByCommand
  const state = stateOf(target, isRunning)
  if (target.configured && isPaused) return cell(state, 'yellow', 'paused')
  return cell(state, state === 'running' ? null : 'yellow')
}

function stateOf({ configured, pausedByConfig, pausedByCommand }: ListedTarget, isRunning: boolean): string {
  const paused = pausedByConfig ? 'paused (configuration)' : pausedByCommand ? 'paused' : ''
  if (!configured) return paused === '' ? 'orphaned' : `orphaned, ${paused}`
  if (paused !== '') return paused
  return isRunning ? 'running' : 'relay not running'
}

export function breakerCell({ breaker, throttle }: ListedTarget, now: number): Cell {
  if (breaker === null && throttle !== null)
    return cell(`throttled, ${duration(throttle.until - now)}`, 'yellow', 'throttled')
  if (breaker === null) return 'closed'
  return cell(`open, probe ${nextProbe(breaker, now)}`, 'red', 'open')
}

/** When the next attempt probes a target whose circuit is open: `due`, or `in 29s`. */
export function nextProbe({ probeAt }: { readonly probeAt: number }, now: number): string {
  return probeAt <= now ? 'due' : `in ${duration(probeAt - now)}`
}

/** How many there are of what should not be, in a style once there are any. */
export function countCell(count: number, style: 'red' | 'yellow'): Cell {
  return cell(count, count > 0 ? style : null)
}
