import { v7 as uuid } from 'uuid'
import { systemClock } from './domain/clock.ts'
import { pooledRandom } from './random-pool.ts'

const id = Buffer.alloc(16)
let lastMs = 0
let next = 0

/**
 * A new event's id. One that is made later sorts later, also within a millisecond and after the clock was set back. uuid
 * sees to that by itself, but only with random bytes that it fetches for each id, at 8 µs.
 */
export function newEventId(): string {
  const random = pooledRandom(16)
  const now = systemClock.now()
  if (now > lastMs) {
    lastMs = now
    // 31 bits, and so room to count on within the millisecond.
    next = random.readUInt32BE() >>> 1
  } else {
    next += 1
  }
  uuid({ random, msecs: lastMs, seq: next }, id)
  return `evt_${id.toString('hex')}`
}
