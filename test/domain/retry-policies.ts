import fc from 'fast-check'
import type { RetryPolicy } from '../../src/domain/backoff.ts'

const WEEK_MS = 7 * 86_400_000

/** The defaults of the configuration, without jitter. */
export const PLAIN: RetryPolicy = {
  initialDelayMs: 5_000,
  factor: 2,
  maxDelayMs: 3_600_000,
  jitter: 0,
  giveUpAfterMs: null,
  maxAttempts: null,
}

/** Any policy that the configuration lets through, without an end. */
export const anyPolicy: fc.Arbitrary<RetryPolicy> = fc.record({
  initialDelayMs: fc.integer({ min: 1, max: WEEK_MS }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  maxDelayMs: fc.integer({ min: 1, max: WEEK_MS }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  giveUpAfterMs: fc.constant(null),
  maxAttempts: fc.constant(null),
})

/** The number of a failed attempt: mostly small, sometimes far beyond what overflows. */
export const anyAttempt = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1_000_000 }))

/** What a `Random` may return. */
export const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

/** What targets ask for, sensible or not. */
export const anyRetryAfterMs = fc.option(fc.integer({ min: -1_000, max: Number.MAX_SAFE_INTEGER }), { nil: undefined })
