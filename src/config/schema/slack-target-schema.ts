import * as z from 'zod'
import { connection, headers } from './connection-schema.ts'
import { targetUrlProblem } from './http-rules.ts'
import { pacing } from './pacing-schema.ts'
import { orReference, secret, text } from './scalars.ts'
import { templating } from './template-schema.ts'

/** Slack refuses messages with more. */
const MAX_BLOCKS = 50

export const slackTargetSchema = z.strictObject({
  type: z.literal('slack').meta({ description: 'Post a message about the event to a Slack channel.' }),
  webhookUrl: secret({ example: 'webhookUrl: ${SLACK_WEBHOOK_URL}', problemWith: targetUrlProblem }).meta({
    pattern: orReference('^(https?|http\\+unix)://'),
    description:
      'The URL of the Slack incoming webhook, or of a service that answers as Slack does. It is a secret: anyone who has it can post.',
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
  headers,
  ...connection,
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
  ...templating,
  ...pacing({ timeout: '10s', concurrency: 1, rateLimit: { max: 1, per: '1s' } }),
})
