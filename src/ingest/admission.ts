import { RelayError } from '../domain/errors.ts'
import type { Recorder } from './receiver.ts'

/** How much may wait for the outbox at once. */
export interface AdmissionLimits {
  readonly requests: number
  readonly bytes: number
}

/**
 * Enough for several seconds of a busy account on a slow disk; beyond it, a sender is better told to come back than left
 * waiting into its own timeout, and memory stays bounded whatever the disk does.
 */
export const ADMISSION_LIMITS: AdmissionLimits = { requests: 2_000, bytes: 64 * 1024 * 1024 }

/** A recorder that refuses with `overloaded` while too much waits for it. */
export function admit(record: Recorder, limits: AdmissionLimits): Recorder {
  let requests = 0
  let bytes = 0
  return async (event, targets) => {
    if (requests >= limits.requests || bytes >= limits.bytes) {
      throw new RelayError('overloaded', `${requests} requests with ${bytes} bytes wait for the outbox`)
    }
    const size = event.body.byteLength
    requests += 1
    bytes += size
    try {
      return await record(event, targets)
    } finally {
      requests -= 1
      bytes -= size
    }
  }
}
