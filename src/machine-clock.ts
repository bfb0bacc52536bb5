import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { type Clock, systemStopwatch } from './domain/clock.ts'
import type { ClockReading } from './domain/clock-trust.ts'

const BOOT_ID = bootId()
/** Where the system does not name its boots, only the readings of one process can be compared. */
const PROCESS_ID = randomUUID()

/** Reads the wall clock and a clock that cannot be set. */
export function readMachineClock(clock: Clock): ClockReading {
  return BOOT_ID === null
    ? { wallMs: clock.now(), uptimeMs: systemStopwatch(), bootId: PROCESS_ID }
    : { wallMs: clock.now(), uptimeMs: Math.round(uptime() * 1_000), bootId: BOOT_ID }
}

function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return null
  }
}
