import { z } from 'zod'
import { urlProblem } from './http-rules.ts'
import { pacing } from './pacing-schema.ts'
import { orReference, secret, text } from './scalars.ts'

/** Slack refuses messages with more. */
const MAX_BLOCKS = 50

export const slackTargetSchema = z.strictObject({
  type: z.literal('slack').meta({ description: 'Post a message about the event to a Slack channel.' }),
  webhookUrl: secret({ example: 'webhookUrl: ${SLACK_WEBHOOK_URL}', problemWith: urlProblem }).meta({
    pattern: orReference('^https?://'),
    description: 'The URL of the Slack incoming webhook. It is a secret: whoever has it can post.',
  }),
  text: text().optional().meta({
    description:
      'The message, with {{ JSONata }} over the payload in it. Absent, with no blocks: a good default per event.',
  }),
  blocks: z
    .array(z.looseObject({ type: text({ example: 'the type of the block, as in type: section' }) }))
    .min(1)
    .max(MAX_BLOCKS, `has more than ${MAX_BLOCKS} blocks, the most Slack takes`)
    .optional()
    .meta({ description: 'Block Kit blocks, with {{ JSONata }} over the payload in any string.' }),
  attach: z
    .array(
      z.literal('transcript', { error: () => 'must be transcript: a recording cannot be attached to a Slack message' }),
    )
    .prefault([])
    .meta({
      description:
        "With transcript, the call's is fetched for the templates, as in {{ attached.transcript[-1].text }}. Needs the " +
        'ultravox section.',
    }),
  ...pacing({ timeout: '10s', concurrency: 1, rateLimit: { max: 1, per: '1s' } }),
})
