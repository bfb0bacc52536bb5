import { isIP } from 'node:net'
import * as z from 'zod'
import { flag, secret, text } from './scalars.ts'

/** How certificates and keys are written. */
export const PEM =
  'A PEM file relative to the configuration file, or PEM itself, as from ${file:...} or ${credential:...}.'

export const tlsSchema = z.strictObject({
  ca: secret()
    .optional()
    .meta({
      description: `The only authorities to trust, instead of the well-known ones. ${PEM}`,
    }),
  cert: secret()
    .optional()
    .meta({
      description: `The client certificate to show, with the ones between it and its authority. ${PEM}`,
    }),
  key: secret()
    .optional()
    .meta({ description: `The private key of cert, without a passphrase. ${PEM}` }),
  servername: text({ problemWith: servernameProblem }).optional().meta({
    description: "The name to ask for and to find in the server's certificate, where it is not the host of the URL.",
  }),
  insecure: flag().prefault(false).meta({
    description:
      'Accept any certificate. Anyone between the relay and the target can then read and change everything; warned about.',
  }),
})

function servernameProblem(name: string): string | undefined {
  if (isIP(name) !== 0) return 'must be a name: for an address TLS has none, so put the address into url'
  return /^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(name) ? undefined : 'is no host name, as in crm.internal'
}
