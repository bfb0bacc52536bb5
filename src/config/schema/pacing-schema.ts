import * as z from 'zod'
import { targetRetrySchema } from './retry-schema.ts'
import { duration, flag, integer } from './scalars.ts'

const rateLimit = z.strictObject({
  max: integer(1, 1_000_000).meta({ description: 'The most attempts in any window. All of them may start at once.' }),
  per: duration('1ms', '1d').meta({ description: 'The length of the window.' }),
})

const breaker = z.strictObject({
  failures: integer(1, 1_000_000).prefault(10).meta({
    description: 'When this many different deliveries have failed in a row, nothing more is sent to this target.',
  }),
  cooldown: duration('1ms', '1d').prefault('30s').meta({
    description: 'After this pause one delivery probes the target. If its first attempt fails, the pause is doubled.',
  }),
  maxCooldown: duration('1ms', '7d').prefault('10m').meta({ description: 'The longest pause.' }),
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
      description: 'The most attempts under way to this target at the same time, also while a reload replaces it.',
    }),
    rateLimit: limit.meta({
      description:
        'The most attempts to this target in any window, also over reloads and restarts. An attempt counts from when it is sent, plus the time of its answer: up to a tenth of the window and at most a second.',
    }),
    breaker: breaker.prefault({}).meta({
      description: 'When to leave a failing target alone. Due deliveries wait meanwhile without using up attempts.',
    }),
    ordered: z.literal('call').optional().meta({
      description:
        "A call's events go out in the order received, one at a time; a failing one holds up only its own call.",
    }),
    onDead: z.enum(['release', 'hold']).optional().meta({
      description:
        'With ordered: whether a dead delivery lets the next of its call go (release, the default) or keeps it.',
    }),
    paused: flag().prefault(false).meta({
      description: 'Deliver nothing until this is false again; everything is queued. See also: targets pause.',
    }),
    retry: targetRetrySchema.optional().meta({
      description: 'What differs from the global retry policy; keys not given here are inherited from it.',
    }),
  }
}
