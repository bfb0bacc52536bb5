import * as z from 'zod'
import { decimal, duration, integer } from './scalars.ts'

const initialDelay = duration('1ms', '7d')
const factor = decimal(1, 100)
const maxDelay = duration('1ms', '7d')
const jitter = decimal(0, 1)
const giveUpAfter = duration('1ms', '365d')
const maxAttempts = integer(1, 1_000_000)
const timeouts = integer(1, 1_000_000)

const described = {
  initialDelay: { description: 'The pause after the first failed attempt.' },
  factor: { description: 'Each further pause is this many times the one before.' },
  maxDelay: { description: 'The longest pause; also the most that a Retry-After of the target is followed.' },
  jitter: { description: 'Share of a pause by which it is randomly made longer or shorter, from 0 to 1.' },
  giveUpAfter: {
    description:
      'No attempt starts later than this after the first one; then the delivery is dead. Time in which the target is paused or missing, or the relay is stopped, does not count.',
  },
  maxAttempts: { description: 'The most attempts made. With giveUpAfter, the first reached wins. Default: no limit.' },
  timeouts: {
    description:
      'The most attempts that may end with a timeout: the target may have done the work each time. Then the delivery is dead. Default: no limit.',
  },
}

/** The retry policy of all targets that do not say otherwise. */
export const retrySchema = z.strictObject({
  initialDelay: initialDelay.prefault('5s').meta(described.initialDelay),
  factor: factor.prefault(2).meta(described.factor),
  maxDelay: maxDelay.prefault('1h').meta(described.maxDelay),
  jitter: jitter.prefault(0.2).meta(described.jitter),
  giveUpAfter: giveUpAfter.prefault('72h').meta(described.giveUpAfter),
  maxAttempts: maxAttempts.optional().meta(described.maxAttempts),
  timeouts: timeouts.optional().meta(described.timeouts),
})

/** What a target says otherwise; all else it inherits. */
export const targetRetrySchema = z.strictObject({
  initialDelay: initialDelay.optional().meta(described.initialDelay),
  factor: factor.optional().meta(described.factor),
  maxDelay: maxDelay.optional().meta(described.maxDelay),
  jitter: jitter.optional().meta(described.jitter),
  giveUpAfter: giveUpAfter.optional().meta(described.giveUpAfter),
  maxAttempts: maxAttempts.optional().meta(described.maxAttempts),
  timeouts: timeouts.optional().meta(described.timeouts),
})
