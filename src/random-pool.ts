import { randomFillSync } from 'node:crypto'

const pool = Buffer.allocUnsafe(4096)
let used = pool.length

/**
 * So many random bytes (at most 4096), to be read before the next call. They are fetched many at a time: measured at
 * 0.13 µs an id, instead of 3 µs for a call of its own for each.
 */
export function pooledRandom(bytes: number): Buffer {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += bytes
  return pool.subarray(used - bytes, used)
}
