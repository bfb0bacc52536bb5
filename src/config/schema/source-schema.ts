import * as z from 'zod'
import { pathProblem as homeProblem } from '../home-path.ts'
import { duration, name, orReference, secret, text } from './scalars.ts'

const path = text({ problemWith: pathProblem })
  .meta({ pattern: orReference('^/[A-Za-z0-9._~/-]*$') })
  .optional()
  .meta({
    description: 'Path of the URL registered with the provider. Default: /webhooks/<name of the source>.',
  })

const account = name.optional().meta({
  description:
    'The Ultravox account that this source belongs to. An event that arrives through several sources of an account (a webhook and callbacks, say) is recorded and delivered once. Default: the account of the ultravox section where there is one, otherwise default.',
})

const expectWithin = duration('1s', '365d').optional().meta({
  description: 'Raise relay.source.silent when no genuine event has come in for so long. Absent: never.',
})

/** Only characters that no client, proxy or router rewrites, so that the path asked for is the path that is served. */
function pathProblem(written: string): string | undefined {
  if (!written.startsWith('/')) return 'must start with "/", as in /webhooks/ultravox'
  if (!/^[A-Za-z0-9._~/-]*$/.test(written)) return 'may only have letters, digits, "/", "-", ".", "_" and "~" in it'
  if (/\/\/|\/\.{1,2}(\/|$)/.test(written)) return 'must not have "//", "/./" or "/../" in it: clients rewrite these'
  return /^\/healthz\/?$/.test(written) ? 'is where the relay answers health checks: choose another path' : undefined
}

function secretProblem(written: string): string | undefined {
  return written.length > 120 ? 'is longer than 120 characters, the most Ultravox takes' : undefined
}

const unsigned = (key: string) =>
  `has no use with "scheme: none", which checks nothing: remove ${key}, or write scheme: ultravox`

export const ultravoxSourceSchema = z.strictObject({
  path,
  scheme: z
    .literal('ultravox')
    .meta({ description: 'Verify the HMAC-SHA256 signature that Ultravox puts on each webhook.' }),
  secrets: z
    .array(secret({ problemWith: secretProblem }))
    .min(1, 'has nothing in it: write the secret of the webhook, as in ["${ULTRAVOX_WEBHOOK_SECRET}"]')
    .optional()
    .meta({
      description:
        'Secrets of the webhook, of 16 characters at least; a signature made with any of them is good, so that they can be rotated.',
    }),
  secretsFile: text({ problemWith: homeProblem }).optional().meta({
    description:
      'A file with more of them, one a line (# starts a comment), that only its owner may read. The webhooks command keeps the secrets that it makes there.',
  }),
  account,
  tolerance: duration('1s', '1d').prefault('60s').meta({
    description: 'How far the signed timestamp may be from now. An older request may be a replay and is refused.',
  }),
  expectWithin,
})

export const noneSourceSchema = z.strictObject({
  path,
  scheme: z.literal('none').meta({ description: 'Verify nothing. For tests, or behind something that does verify.' }),
  secrets: z
    .never({ error: unsigned('secrets') })
    .optional()
    .meta({ description: 'Not used with scheme none.' }),
  secretsFile: z
    .never({ error: unsigned('secretsFile') })
    .optional()
    .meta({ description: 'Not used with scheme none.' }),
  tolerance: z
    .never({ error: unsigned('tolerance') })
    .optional()
    .meta({ description: 'Not used with scheme none.' }),
  account: z
    .never({ error: unsigned('account') })
    .optional()
    .meta({ description: 'Not used with scheme none.' }),
  expectWithin,
})

export const sourceSchema = z.discriminatedUnion('scheme', [ultravoxSourceSchema, noneSourceSchema])
