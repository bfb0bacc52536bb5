import * as z from 'zod'
import { requiredAs } from '../plain-words.ts'
import { listOrOne, text } from './scalars.ts'

const blank = (name: string) => (/\s/.test(name) ? 'must not have blanks in it' : undefined)

export const routeSchema = z.strictObject({
  name: text().optional().meta({ description: 'A name for people, as `match` and the log show it.' }),
  events: listOrOne(
    z
      .array(text({ problemWith: blank }), {
        error: requiredAs('the events to send, as in events: [call.ended] or events: "*"'),
      })
      .min(1, 'has nothing in it, so this route never sends anything: write an event, or "*" for all'),
  ).meta({
    description:
      'Names of the events to send; "*" stands for any run of characters, as in call.* or "*". ' +
      "The relay's own events are matched only by patterns that begin with relay., as in relay.*, and these match no event of a source.",
  }),
  source: z
    .union([text(), z.array(text()).min(1)], { error: () => 'must be the name of a source, or a list of names' })
    .optional()
    .meta({
      description:
        'Only events that arrived through this source, or one of these sources, as in callbacks or [callbacks, batches]. ' +
        'An event that arrives through several sources of an account matches for each of them. Absent: every source.',
    }),
  when: text().optional().meta({
    description: 'A JSONata condition over the payload, as in call.endReason != "unjoined". Absent: always.',
  }),
  to: listOrOne(
    z
      .array(text(), { error: requiredAs('the targets to send to, as in to: [crm]') })
      .min(1, 'has nothing in it, so this route never sends anything: write the name of a target'),
  ).meta({
    description: 'Names of the targets to send them to. A target gets an event once, however many routes name it.',
  }),
})
