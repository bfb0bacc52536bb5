import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Debian's package `faketime`. */
const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

/** A wall clock for processes started with `env`; null where there is no libfaketime. Their monotonic clock is the real one. */
export function movedClock(directory: string) {
  if (!existsSync(LIBRARY)) return null
  const offset = join(directory, 'offset')
  let shift = 0
  /** By how many seconds it is off. */
  const set = (seconds: number) => {
    shift = seconds
    writeFileSync(offset, `${seconds >= 0 ? '+' : ''}${seconds}s\n`)
  }
  set(0)
  const env = {
    LD_PRELOAD: LIBRARY,
    FAKETIME_TIMESTAMP_FILE: offset,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  return { env, set, now: () => Date.now() + shift * 1_000 }
}
