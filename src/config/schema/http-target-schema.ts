import { z } from 'zod'
import { requiredAs } from '../plain-words.ts'
import { headerNameProblem, headerValueProblem, signingSecretProblem, urlProblem } from './http-rules.ts'
import { pacing } from './pacing-schema.ts'
import { integer, orReference, secret, text } from './scalars.ts'

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
  type: z
    .literal('http')
    .meta({ description: 'Send the event to an HTTP endpoint, byte for byte as it was received.' }),
  url: secret({
    example: 'the address to deliver to, as in url: https://crm.internal/hooks/calls',
    problemWith: urlProblem,
  }).meta({
    pattern: orReference('^https?://'),
    description: 'The http or https URL to deliver to. Never shown in full.',
  }),
  method: z.enum(['POST', 'PUT', 'PATCH']).prefault('POST').meta({ description: 'The HTTP method to deliver with.' }),
  headers: z
    .record(text({ problemWith: headerNameProblem }), secret({ problemWith: headerValueProblem }))
    .prefault({})
    .meta({ description: 'Further headers for each request, such as Authorization.' }),
  sign: signSchema.optional().meta({ description: 'How to sign each request. Absent: requests are not signed.' }),
  retryOn: z.array(integer(400, 499)).prefault([]).meta({
    description: 'Further 4xx statuses to try again after. 408, 425, 429 and 5xx always are; other 4xx are final.',
  }),
  ...pacing({ timeout: '10s', concurrency: 8 }),
})
