import { RelayError } from '../domain/errors.ts'
import type { Outbox } from '../outbox/outbox.ts'
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

/**
 * For requests that are signed, but rejected and kept. Apart from events, so that a replay of old requests is never in the way of
 * new ones.
 */
export const REJECTION_LIMITS: AdmissionLimits = { requests: 500, bytes: 32 * 1024 * 1024 }

/** A recorder that refuses with `overloaded` while too much waits for it. */
export function admit(record: Recorder, limits: AdmissionLimits): Recorder {
  const admission = createAdmission(limits)
  return (event, targets) => admission(event.body.byteLength, () => record(event, targets))
}

/** The same for rejections that are kept with their bodies. */
export function admitRejections(reject: Outbox['reject'], limits: AdmissionLimits): Outbox['reject'] {
  const admission = createAdmission(limits)
  return (rejection) => admission(rejection.kept?.body.byteLength ?? 0, () => reject(rejection))
}

function createAdmission(limits: AdmissionLimits) {
  let requests = 0
  let bytes = 0
  return async <T>(size: number, work: () => Promise<T>): Promise<T> => {
    if (requests >= limits.requests || bytes >= limits.bytes) {
      throw new RelayError('overloaded', `${requests} requests with ${bytes} bytes wait for the outbox`)
    }
    requests += 1
    bytes += size
    try {
      return await work()
    } finally {
      requests -= 1
      bytes -= size
    }
  }
}
