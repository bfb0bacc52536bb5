import * as z from 'zod'

/** From the fewest lines to the most. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const

export const logSchema = z.strictObject({
  level: z
    .enum(LOG_LEVELS)
    .prefault('info')
    .meta({
      description:
        'The least grave lines that are logged: error, warn, info or debug, which adds health checks and what operators ' +
        'only look at.',
    }),
})
