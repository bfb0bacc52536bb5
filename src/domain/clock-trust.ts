/**
 * Decides whether the wall clock can be believed. Nothing is deleted for its age while the clock disagrees with the time that has
 * really passed: a clock that is wrong for minutes must not cost a year of records.
 * Pure; see `readMachineClock` for the readings.
 */

/** The machine's clocks at one moment. */
export interface ClockReading {
  /** Epoch milliseconds. */
  readonly wallMs: number
  /** Milliseconds since the boot, time asleep included; not affected when the wall clock is set. */
  readonly uptimeMs: number
  /** Which boot. Readings of different boots have only the wall clock in common. */
  readonly bootId: string
}

/** The newest rows on record. */
export interface NewestRows {
  readonly eventSeq: number
  readonly rejectionId: number
}

export interface ClockTrust {
  /** The last reading that was believed. */
  readonly trusted: ClockReading
  /** Null while the clock is believed. */
  readonly hold: ClockHold | null
  /** How to count the age of rows that a clock which was behind has stamped; null where there are none. */
  readonly correction: ClockCorrection | null
}

/** The clock differs from the trusted one, and nothing is deleted for its age. */
export interface ClockHold {
  /** The last reading by the new time. */
  readonly last: ClockReading
  /** New time minus expected time. After a reboot, the time that the machine was off is in it. */
  readonly offMs: number
  /** Whether `offMs` is known exactly, since there was no reboot. */
  readonly isExact: boolean
  /** When it began, by the new time (epoch milliseconds). */
  readonly sinceMs: number
  /** For how long the relay has seen the new time go on steadily. */
  readonly steadyMs: number
  /** The newest rows when the clock was first in doubt. */
  readonly from: NewestRows
  /** By how much the clock was behind at most since then; 0 where it was not. */
  readonly behindMs: number
}

/**
 * Rows after `from` and up to `to` may have been stamped by a clock that was behind. They count as received so much later than
 * they say, but not later than `atMs`, when the clock was right again.
 */
export interface ClockCorrection {
  readonly from: NewestRows
  readonly to: NewestRows
  readonly atMs: number
  readonly eventShiftMs: number
  readonly rejectionShiftMs: number
}

const NO_ROWS: NewestRows = { eventSeq: 0, rejectionId: 0 }

/** Smaller steps change nothing that matters: ages are counted in days. */
const TOLERANCE_MS = 3_600_000

/** A machine that boots may have been off for this long without a doubt about its clock. */
const OFF_LIMIT_MS = 24 * 3_600_000

/** A new time that has gone on for this long while the relay ran is believed. */
export const CONFIRMED_AFTER_MS = 3_600_000

/** Between two readings that are further apart, the relay may not have run. */
const LONGEST_INTERVAL_MS = 5 * 60_000

/** What is known after another reading; `before` is null at the first one ever, which has to be believed. */
export function observeClock(before: ClockTrust | null, reading: ClockReading, newest: NewestRows): ClockTrust {
  if (before === null) return { trusted: reading, hold: null, correction: null }
  const { trusted, hold, correction } = before
  const offMs = deviation(trusted, reading)
  // It was right, or has been set right again.
  if (offMs === 0) return believed(before, reading, newest, 0, true)
  const isExact = elapsed(trusted, reading) !== null
  if (hold === null || deviation(hold.last, reading) !== 0) {
    const { from, behindMs } = hold ?? { from: newest, behindMs: 0 }
    const doubt = { last: reading, offMs, isExact, sinceMs: reading.wallMs, steadyMs: 0 }
    return { trusted, hold: { ...doubt, from, behindMs: Math.max(behindMs, -offMs) }, correction }
  }
  const ranMs = elapsed(hold.last, reading) ?? 0
  const steadyMs = hold.steadyMs + (ranMs > LONGEST_INTERVAL_MS ? 0 : ranMs)
  const held = { trusted, hold: { ...hold, last: reading, steadyMs }, correction }
  return steadyMs < CONFIRMED_AFTER_MS ? held : confirmClock(held, reading, newest)
}

/** Believes the clock as it is: an operator has checked it. */
export function confirmClock(before: ClockTrust | null, reading: ClockReading, newest: NewestRows): ClockTrust {
  if (before === null) return observeClock(before, reading, newest)
  const { trusted, hold } = before
  return hold !== null && deviation(hold.last, reading) === 0
    ? believed(before, reading, newest, hold.offMs, hold.isExact)
    : believed(before, reading, newest, deviation(trusted, reading), elapsed(trusted, reading) !== null)
}

/**
 * Ends a doubt. A clock that was set forward by `offMs` for good was behind before that, and one that was behind for a while has
 * stamped what came meanwhile. Of a machine that was off, it is not known how much of the step is real time: kept rejections,
 * which an operator may still have to accept, get all of it, events nothing.
 */
function believed(
  { hold, correction }: ClockTrust,
  reading: ClockReading,
  newest: NewestRows,
  offMs: number,
  isExact: boolean,
): ClockTrust {
  const rejectionShiftMs = offMs + (hold?.behindMs ?? 0)
  if (rejectionShiftMs <= 0) return { trusted: reading, hold: null, correction }
  const shifts = { eventShiftMs: isExact ? rejectionShiftMs : 0, rejectionShiftMs }
  // A kept rejection that is sent again keeps its id and gets a new time.
  const from = offMs > 0 || hold === null ? NO_ROWS : { ...hold.from, rejectionId: 0 }
  const latest = { from, to: newest, atMs: reading.wallMs, ...shifts }
  return { trusted: reading, hold: null, correction: correction === null ? latest : merged(correction, latest) }
}

/** Two corrections as one that keeps all rows at least as long as each of them. */
function merged(earlier: ClockCorrection, later: ClockCorrection): ClockCorrection {
  return {
    ...later,
    from: {
      eventSeq: Math.min(earlier.from.eventSeq, later.from.eventSeq),
      rejectionId: Math.min(earlier.from.rejectionId, later.from.rejectionId),
    },
    eventShiftMs: earlier.eventShiftMs + later.eventShiftMs,
    rejectionShiftMs: earlier.rejectionShiftMs + later.rejectionShiftMs,
  }
}

/** The instant that rows must be older than to go, for those that were stamped before the correction and those after it. */
export function ageLimit(
  beforeMs: number,
  correction: ClockCorrection | null,
  shift: 'eventShiftMs' | 'rejectionShiftMs',
): { readonly before: number; readonly correctedBefore: number } {
  if (correction === null || correction.atMs < beforeMs) return { before: beforeMs, correctedBefore: beforeMs }
  return { before: beforeMs, correctedBefore: beforeMs - correction[shift] }
}

/** How much time really passed between two readings; null where there is no telling. */
function elapsed(from: ClockReading, to: ClockReading): number | null {
  return to.bootId === from.bootId && to.uptimeMs >= from.uptimeMs ? to.uptimeMs - from.uptimeMs : null
}

/** By how much the wall clock has moved more (or less) than it can have; 0 where it is plausible. */
function deviation(from: ClockReading, to: ClockReading): number {
  const moved = to.wallMs - from.wallMs
  const real = elapsed(from, to)
  if (real !== null) return Math.abs(moved - real) <= TOLERANCE_MS ? 0 : moved - real
  return moved < -TOLERANCE_MS || moved > OFF_LIMIT_MS ? moved : 0
}
