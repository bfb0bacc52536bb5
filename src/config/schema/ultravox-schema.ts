import * as z from 'zod'
import { apiKeyProblem } from '../../domain/api-key.ts'
import { LIFECYCLE_EVENTS } from '../../domain/sample-event.ts'
import { requiredAs } from '../plain-words.ts'
import { DEFAULT_ACCOUNT } from '../provider-accounts.ts'
import { proxyProblem, urlProblem } from './http-rules.ts'
import { duration, flag, integer, name, orReference, secret, size, text } from './scalars.ts'
import { PEM } from './tls-schema.ts'

function webhookUrlProblem(written: string): string | undefined {
  return written.length > 200 ? 'is longer than 200 characters, the most Ultravox takes' : urlProblem(written)
}

const events = z
  .array(z.enum(LIFECYCLE_EVENTS))
  .min(1, 'has nothing in it: leave it out for all events')
  .prefault([...LIFECYCLE_EVENTS])
  .meta({ description: 'The events it is registered for, and the ones that reconciliation looks for.' })

const webhookSchema = z.strictObject({
  url: text({ example: 'url: https://relay.example.com/webhooks/ultravox', problemWith: webhookUrlProblem }).meta({
    description:
      'Where Ultravox is to send its webhooks: the address under which the source can be reached from there.',
  }),
  events,
  agentId: text()
    .nullable()
    .prefault(null)
    .meta({ description: 'The agent whose calls it is limited to; null: all calls.' }),
  source: text({ example: 'source: ultravox' }).meta({
    description: 'The source that it leads to, whose secrets sign it.',
  }),
})

const reconcileSchema = z.strictObject({
  every: duration('1s', '1d').prefault('10m').meta({ description: 'How often to look for events that have not come.' }),
  lookback: duration('1m', '90d').prefault('26h').meta({
    description:
      'How far back calls are read, by when they were created. The first sweep and one a day read all of them, the others only those that still lack an event; billing can come long after a call.',
  }),
  source: text().optional().meta({
    description: 'The source that fetched events are given to. Default: that of the webhook.',
  }),
  grace: duration('0s', '1d').prefault('20m').meta({
    description: 'How long an event may be late before it is fetched: the provider tries again by itself first.',
  }),
})

const enrichSchema = z.strictObject({
  transcript: flag().prefault(true).meta({ description: 'Whether targets may have transcripts attached.' }),
  recording: flag().prefault(true).meta({ description: 'Whether targets may have recordings attached.' }),
  maxTranscript: size('1kb', '64mb').prefault('5mb').meta({
    description: 'The largest transcript; a delivery that is to have a larger one is dead.',
  }),
  maxRecording: size('1kb', '10gb').prefault('200mb').meta({
    description: 'The largest recording fetched as a file; a delivery that is to have a larger one is dead.',
  }),
  timeout: duration('1s', '1h').prefault('5m').meta({
    description: 'How long fetching one of them may take. It fails the attempt, which is made again like any other.',
  }),
  maxWait: duration('1s', '30d')
    .nullable()
    .prefault('1h')
    .meta({
      description:
        'How long a delivery waits, from its first attempt, for a transcript or recording that Ultravox does not have yet or ' +
        'that cannot be used. Then it is sent with null in its place. null: for as long as the delivery is tried.',
    }),
})

const apiTlsSchema = z.strictObject({
  ca: secret().meta({
    description:
      'The only authorities to trust, instead of the well-known ones; at other hosts that recordings are fetched from, ' +
      `beside those. ${PEM}`,
  }),
})

/** One account at the provider. */
export const ultravoxSchema = z.strictObject(
  {
    account: name.prefault(DEFAULT_ACCOUNT).meta({
      description: 'The name of the account, for sources and for --account. Needed where there are several.',
    }),
    apiKey: secret({ example: 'apiKey: ${ULTRAVOX_API_KEY}', problemWith: apiKeyProblem }).meta({
      description: 'The key of the REST API.',
    }),
    baseUrl: text({ problemWith: urlProblem }).prefault('https://api.ultravox.ai').meta({
      description: 'Where the REST API is.',
    }),
    proxy: secret({ problemWith: proxyProblem })
      .optional()
      .meta({
        pattern: orReference('^http://'),
        description:
          'The HTTP proxy to reach the API and recordings through, by CONNECT. A secret, as for http targets.',
      }),
    tls: apiTlsSchema.optional().meta({ description: 'How the server of the API is verified.' }),
    requestsPerSecond: integer(1, 200)
      .prefault(20)
      .meta({
        description:
          'How many requests to the API start in a second at most, by all parts of a running relay together. Ultravox allows ' +
          '200 for each key.',
      }),
    webhook: webhookSchema.optional().meta({ description: 'The webhook that is to exist there.' }),
    enrich: enrichSchema.prefault({}).meta({
      description: 'What may be fetched of calls for the targets that ask for it with attach.',
    }),
    reconcile: reconcileSchema.optional().meta({
      description: 'Fetches events that should have come and have not. Absent: only by hand, with backfill.',
    }),
  },
  { error: requiredAs('ultravox: { apiKey: ${ULTRAVOX_API_KEY} }') },
)

/** Several accounts. */
export const ultravoxListSchema = z
  .array(ultravoxSchema)
  .min(1, 'is empty: write an account, as in [{ account: sales, apiKey: "${ULTRAVOX_API_KEY}" }], or remove it')
