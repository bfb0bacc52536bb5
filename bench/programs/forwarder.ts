import { createHmac, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import { Agent, request } from 'undici'

/**
 * What teams write by hand: it verifies, answers, and then sends the event on from memory, to each of the URLs in its further
 * arguments. Nothing is stored, and nothing is tried again. Its first argument is a port, its second a secret.
 */
const [, , port, secret, ...urls] = process.argv
const dispatcher = new Agent({ connections: 32 })
const app = Fastify()
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/webhooks/ultravox', (incoming, reply) => {
  const body = incoming.body as Buffer
  const timestamp = String(incoming.headers['x-ultravox-webhook-timestamp'])
  const expected = createHmac('sha256', secret!).update(body).update(timestamp).digest()
  const given = Buffer.from(String(incoming.headers['x-ultravox-webhook-signature']), 'hex')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return reply.code(401).send()
  void reply.code(204).send()
  for (const url of urls) void forward(url, body)
  return reply
})

async function forward(url: string, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await request(url, { method: 'POST', headers, body, dispatcher })
  await answer.body.dump()
}

await app.listen({ host: '127.0.0.1', port: Number(port) })
console.log('ready')
