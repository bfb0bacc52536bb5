import { isDeepStrictEqual } from 'node:util'
import type Database from 'better-sqlite3'
import {
  type ClockReading,
  type ClockTrust,
  confirmClock,
  type NewestRows,
  observeClock,
} from '../../domain/clock-trust.ts'

/** A reading that changes nothing else is written at this interval, so that an idle relay seldom writes. */
const WRITE_EVERY_MS = 60_000

/** Synchronous; what writes is in a transaction of the caller's. */
export interface ClockTrustStore {
  /** Null where no daemon has read the clock yet. */
  clockTrust(): ClockTrust | null
  /** What a reading would say. Writes nothing. */
  judgeClock(reading: ClockReading): ClockTrust
  observeClock(reading: ClockReading): ClockTrust
  confirmClock(reading: ClockReading): ClockTrust
}

export function createClockTrustStore(database: Database.Database): ClockTrustStore {
  const select = database.prepare('select state from clock_trust').pluck()
  const replace = database.prepare('insert or replace into clock_trust (only_one, state) values (1, ?)')
  const selectNewest = database.prepare(`
    select
      (select coalesce(max(event_seq), 0) from events) as eventSeq,
      (select coalesce(max(rejection_id), 0) from rejections) as rejectionId`)
  const newest = () => selectNewest.get() as NewestRows

  function clockTrust(): ClockTrust | null {
    const state = select.get() as string | undefined
    return state === undefined ? null : (JSON.parse(state) as ClockTrust)
  }

  const judgeClock = (reading: ClockReading) => observeClock(clockTrust(), reading, newest())

  return {
    clockTrust,
    judgeClock,

    observeClock(reading) {
      const before = clockTrust()
      const after = observeClock(before, reading, newest())
      if (before === null || isNews(before, after)) replace.run(JSON.stringify(after))
      return after
    },

    confirmClock(reading) {
      const after = confirmClock(clockTrust(), reading, newest())
      replace.run(JSON.stringify(after))
      return after
    },
  }
}

function isNews(before: ClockTrust, after: ClockTrust): boolean {
  return (
    after.trusted.bootId !== before.trusted.bootId ||
    Math.abs(after.trusted.wallMs - before.trusted.wallMs) >= WRITE_EVERY_MS ||
    !isDeepStrictEqual(after.hold, before.hold) ||
    !isDeepStrictEqual(after.correction, before.correction)
  )
}
