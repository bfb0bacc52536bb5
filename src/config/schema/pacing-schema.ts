import { z } from 'zod'
import { targetRetrySchema } from './retry-schema.ts'
import { duration, integer } from './scalars.ts'

const rateLimit = z.strictObject({
  max: integer(1, 1_000_000).meta({ description: 'Attempts started per period.' }),
  per: duration('1ms', '1d').meta({ description: 'The period.' }),
})

interface PacingDefaults {
  readonly timeout: string
  readonly concurrency: number
  readonly rateLimit?: { max: number; per: string }
}

/** The keys every kind of target has, with that kind's defaults. */
export function pacing(defaults: PacingDefaults) {
  const limit = defaults.rateLimit === undefined ? rateLimit.optional() : rateLimit.prefault(defaults.rateLimit)
  return {
    timeout: duration('1ms', '1d').prefault(defaults.timeout).meta({
      description: 'How long one attempt may take, from its start to the last byte of the answer or the exit.',
    }),
    concurrency: integer(1, 1_000).prefault(defaults.concurrency).meta({
      description: 'The most attempts under way to this target at the same time.',
    }),
    rateLimit: limit.meta({ description: 'The most attempts started to this target in a period.' }),
    retry: targetRetrySchema.optional().meta({
      description: 'What differs from the global retry policy; keys not given here are inherited from it.',
    }),
  }
}
