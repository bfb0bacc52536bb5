import { type ClockHold, CONFIRMED_AFTER_MS } from '../domain/clock-trust.ts'
import { iso } from '../domain/iso.ts'
import { UNITS } from './instants.ts'

/** Of a hold, for scripts; null while the clock is believed. */
export function holdDocument(hold: ClockHold | null) {
  return hold && { clockOffMs: hold.offMs, since: iso(hold.sinceMs), confirmedInMs: CONFIRMED_AFTER_MS - hold.steadyMs }
}

/** Why nothing is deleted for its age, and for how long. */
export function holdText({ offMs, steadyMs }: ClockHold): string {
  const by = `${about(Math.abs(offMs))} ${offMs > 0 ? 'ahead of' : 'behind'}`
  const left = about(Math.max(UNITS.m, CONFIRMED_AFTER_MS - steadyMs))
  return `the clock is ${by} the time expected by the relay; nothing is deleted for its age before it has run ${left} more with this clock`
}

/** The command that ends a hold, for a message. */
export const CONFIRM_COMMAND = 'check the clock, then set it right, or run: ultravox-relay clock confirm'

function about(ms: number): string {
  const [unit, size] = Object.entries(UNITS).find(([, each]) => ms >= each) ?? ['s', UNITS.s]
  return `${Math.round(ms / size)}${unit}`
}
