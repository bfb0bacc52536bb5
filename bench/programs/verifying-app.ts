import { createHmac, timingSafeEqual } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'

/** The handler that teams write by hand: a Fastify that verifies each event and answers once it is taken: at once where `take` gives null. */
export function verifyingApp(secret: string, take: (body: Buffer) => Promise<unknown> | null): FastifyInstance {
  const app = Fastify()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.post('/webhooks/ultravox', (incoming, reply) => {
    const body = incoming.body as Buffer
    const timestamp = String(incoming.headers['x-ultravox-webhook-timestamp'])
    const expected = createHmac('sha256', secret).update(body).update(timestamp).digest()
    const given = Buffer.from(String(incoming.headers['x-ultravox-webhook-signature']), 'hex')
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return reply.code(401).send()
    const taken = take(body)
    return taken === null ? reply.code(204).send() : taken.then(() => reply.code(204).send())
  })
  return app
}
