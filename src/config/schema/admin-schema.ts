import * as z from 'zod'
import { HOME_PROBLEM, isHomePath } from '../home-path.ts'
import { requiredAs } from '../plain-words.ts'
import { MISSING, orReference, secret, text } from './scalars.ts'
import { HOST_NAME, hasLargePort, LARGE_PORT, parseListen } from './server-schema.ts'

const LISTEN_FORM = 'must be host:port, such as 127.0.0.1:8081, or unix: and a path, such as unix:/run/relay/admin.sock'
/** What the kernel has room for in a socket's address, in bytes. */
const LONGEST_SOCKET_PATH = 107
const SHORTEST_TOKEN = 16

const listen = z
  .string({ error: ({ input }) => (input === undefined ? `is missing: write ${EXAMPLE}` : LISTEN_FORM) })
  .meta({ pattern: orReference('^(unix:.+|(\\[[0-9A-Fa-f:.]+\\]|[^:\\s]+):\\d{1,5})$') })
  .transform((written, context) => {
    // To the commands that only work on the outbox, it does not matter.
    if (written === MISSING) return { socketPath: written }
    const [, socketPath] = /^unix:(.+)$/.exec(written) ?? []
    if (socketPath !== undefined && isHomePath(socketPath)) {
      context.addIssue(HOME_PROBLEM)
      return z.NEVER
    }
    if (socketPath !== undefined && Buffer.byteLength(socketPath) <= LONGEST_SOCKET_PATH) return { socketPath }
    const address = socketPath === undefined ? parseListen(written) : undefined
    if (address !== undefined) return address
    context.addIssue(
      socketPath === undefined
        ? hasLargePort(written)
          ? LARGE_PORT
          : LISTEN_FORM
        : `must not be longer than ${LONGEST_SOCKET_PATH} bytes`,
    )
    return z.NEVER
  })

const EXAMPLE = 'listen: 127.0.0.1:8081'

function tokenProblem(token: string): string | undefined {
  if (!/^[\x21-\x7e]+$/.test(token)) return 'may only have visible ASCII characters in it: it goes into a header'
  return token.length < SHORTEST_TOKEN
    ? `is too short: at least ${SHORTEST_TOKEN} characters, as from openssl rand -hex 24`
    : undefined
}

function hostProblem(name: string): string | undefined {
  return HOST_NAME.test(name) ? undefined : 'must be a host name without a port, such as relay.internal'
}

export const adminSchema = z.strictObject(
  {
    listen: listen.meta({
      description:
        'Where to listen: host:port, [ipv6]:port, or unix: and the path of a socket, relative to the configuration file.',
    }),
    token: secret({ problemWith: tokenProblem }).optional().meta({
      description:
        'What requests have to show (Authorization: Bearer ...), except at /healthz and /readyz. Needed unless on loopback or a socket.',
    }),
    hosts: z
      .array(text({ problemWith: hostProblem }))
      .prefault([])
      .meta({
        description:
          'Names besides localhost and the address itself under which it may be asked. Requests for any other are refused.',
      }),
    socketMode: z
      .enum(['0600', '0660'], { error: () => 'must be "0600" (its owner) or "0660" (its group too), in quotes' })
      .prefault('0600')
      .meta({ description: 'Who may connect to the unix socket.' }),
  },
  { error: requiredAs(`admin: { ${EXAMPLE} }`) },
)
