import type { ListedTarget } from '../documents/targets.ts'
import { duration } from './instant.ts'
import { counted } from './printing.ts'
import { type Cell, cell, oneLine } from './table.ts'

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

/** A hint for each target whose attempts have timed out lately, with what to do; empty where none has. */
export function timeoutLines(targets: readonly ListedTarget[]): string {
  const lines = targets
    .filter(({ timedOut, configured }) => timedOut > 0 && configured)
    .map(({ target, timedOut }) => `${oneLine(target)}: ${timeoutsInWords(timedOut)}\n  ${timeoutAdvice(target)}\n`)
  return lines.length === 0 ? '' : `\n${lines.join('')}`
}

export function timeoutsInWords(timedOut: number): string {
  return `${counted(timedOut, 'attempt')} timed out in the last hour; the work may have been done`
}

export function timeoutAdvice(target: string): string {
  return oneLine(`raise targets.${target}.timeout, or bound them: retry: { timeouts: 3 }`)
}

/** When the next attempt probes a target whose circuit is open: `due`, or `in 29s`. */
export function nextProbe({ probeAt }: { readonly probeAt: number }, now: number): string {
  return probeAt <= now ? 'due' : `in ${duration(probeAt - now)}`
}

/** How many there are of what should not be, in a style once there are any. */
export function countCell(count: number, style: 'red' | 'yellow'): Cell {
  return cell(count, count > 0 ? style : null)
}
