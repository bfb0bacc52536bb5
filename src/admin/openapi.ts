import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { VERSION } from '../version.ts'
import { SHAPES } from './api/shapes.ts'

/** Has every route described that is registered from now on; the description is at `/api/openapi.json`. */
export async function describe(app: FastifyInstance, hasToken: boolean): Promise<void> {
  for (const [name, schema] of Object.entries(SHAPES)) app.addSchema({ $id: name, ...schema })
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: {
        title: 'ultravox-relay admin API',
        version: VERSION,
        description: 'What the commands show with --json, and what they do. Errors are {error, message}.',
      },
      servers: [{ url: '/' }],
      ...(hasToken
        ? {
            components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
            security: [{ token: [] }],
          }
        : {}),
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `def-${index}`) },
  })
}
