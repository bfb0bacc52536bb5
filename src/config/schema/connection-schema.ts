import * as z from 'zod'
import { pathProblem } from '../home-path.ts'
import { headerNameProblem, headerTemplateProblem, proxyProblem } from './http-rules.ts'
import { orReference, secret, text } from './scalars.ts'
import { tlsSchema } from './tls-schema.ts'

/** The further headers of a target that sends HTTP requests. */
export const headers = z
  .record(text({ problemWith: headerNameProblem }), secret({ problemWith: headerTemplateProblem }))
  .prefault({})
  .meta({
    description:
      'Further headers for each request, such as Authorization. A value may have {{ JSONata }} in it, as body may; ' +
      'what comes out is fit for a header: line breaks become blanks, what is not ASCII is percent-encoded, and an ' +
      'empty one is left out.',
  })

/** How a target that sends HTTP requests connects. */
export const connection = {
  tls: tlsSchema.optional().meta({ description: 'How an https server is verified, and what is shown to it.' }),
  socketPath: text({ problemWith: pathProblem }).optional().meta({
    description: 'A unix socket to connect to instead of the host in an http URL. Relative to the configuration file.',
  }),
  proxy: secret({ problemWith: proxyProblem })
    .optional()
    .meta({
      pattern: orReference('^http://'),
      description:
        'The HTTP proxy to go through, by CONNECT, as in http://user:password@proxy.internal:3128. In the user and password, write # as %23, / as %2F, ? as %3F, @ as %40 and % as %25. A secret.',
    }),
}
