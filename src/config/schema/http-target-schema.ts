import * as z from 'zod'
import { fieldPathProblem } from '../../domain/field-path.ts'
import { requiredAs } from '../plain-words.ts'
import { answerPatterns } from './answer-patterns.ts'
import { attachable } from './attach-schema.ts'
import { connection, headers } from './connection-schema.ts'
import { signingSecretProblem, targetUrlProblem } from './http-rules.ts'
import { pacing } from './pacing-schema.ts'
import { duration, flag, orReference, secret, size, text } from './scalars.ts'
import { templating } from './template-schema.ts'

const signSecrets = { error: requiredAs('secrets: ["${CRM_SECRET}"]') }
const signSecretsDescription = 'Secrets shared with the receiver. Several give several signatures, for rotation.'

const signSchema = z.discriminatedUnion('scheme', [
  z.strictObject({
    scheme: z.literal('ultravox').meta({
      description:
        "Fresh X-Ultravox-Webhook-Timestamp and -Signature headers: a handler for Ultravox's own works unchanged.",
    }),
    secrets: z.array(secret(), signSecrets).min(1).meta({ description: signSecretsDescription }),
  }),
  z.strictObject({
    scheme: z.literal('standard-webhooks').meta({
      description: 'The webhook-id, webhook-timestamp and webhook-signature headers of www.standardwebhooks.com.',
    }),
    secrets: z
      .array(secret({ problemWith: signingSecretProblem }), signSecrets)
      .min(1)
      .meta({ description: `${signSecretsDescription} Each is whsec_ and the base64 of 24 to 64 bytes.` }),
  }),
])

export const httpTargetSchema = z.strictObject({
  type: z.literal('http').meta({
    description:
      'Send the event to an HTTP endpoint, byte for byte as it was received unless redact or body say otherwise.',
  }),
  url: secret({
    example: 'the address to deliver to, as in url: https://crm.internal/hooks/calls',
    problemWith: targetUrlProblem,
  }).meta({
    pattern: orReference('^(https?|http\\+unix)://'),
    description:
      'The http or https URL to deliver to, or http+unix://%2Frun%2Fapp.sock/path for a unix socket. Never shown in full.',
  }),
  method: z.enum(['POST', 'PUT', 'PATCH']).prefault('POST').meta({ description: 'The HTTP method to deliver with.' }),
  headers,
  redact: z
    .array(text({ problemWith: fieldPathProblem }))
    .prefault([])
    .meta({
      description:
        'Fields to take out of the payload, such as call.systemPrompt; * is any key or index, and any key can be written in ' +
        'quotes, as in call.metadata."caller id". All else stays as received.',
    }),
  body: z
    .union([z.string().min(1), z.array(z.unknown()), z.record(z.string(), z.unknown())], {
      error: () =>
        'must be a mapping, a list or text, as in body: { id: "{{event.id}}", text: "{{call.shortSummary}}" }',
    })
    .optional()
    .meta({
      description:
        'What to send instead of the payload: {{ JSONata }} in any string, over event (id, name, source, receivedAt), ' +
        'call and payload. A string that is one expression becomes its value. Sent as JSON.',
    }),
  ...attachable,
  sign: signSchema.optional().meta({ description: 'How to sign each request. Absent: requests are not signed.' }),
  retryOn: answerPatterns().meta({
    description:
      'Answers to try again after that are final by default: statuses from 300 to 599, or 3xx, 4xx, 5xx. By default, 400, 405, ' +
      '410, 413, 414, 415, 422 and 501 are final, and all others but 2xx are retried.',
  }),
  rejectOn: answerPatterns().meta({
    description:
      'Answers that are final and would be retried by default, written as for retryOn. A single status wins over a class.',
  }),
  ...connection,
  maxConnectionAge: duration('1s', '1d').prefault('1m').meta({
    description:
      'How old a connection may get before it is replaced, so that a host whose DNS record changes is followed.',
  }),
  responseHeaderLimit: size('1kb', '1mb').prefault('64kb').meta({
    description: 'The largest head of an answer: status line and headers. A larger one fails the attempt.',
  }),
  allowLinkLocal: flag()
    .prefault(false)
    .meta({
      description:
        'Connect to link-local addresses and cloud metadata services too, which is refused otherwise, also where a name ' +
        'resolves to one.',
    }),
  ...templating,
  ...pacing({ timeout: '10s', concurrency: 8 }),
})
