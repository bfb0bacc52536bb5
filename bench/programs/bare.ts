import Fastify from 'fastify'

/** What ingest is measured by: a Fastify that reads the body and answers, and does nothing else. Its argument is a port. */
const app = Fastify()
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/webhooks/ultravox', (_request, reply) => reply.code(204).send())
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
console.log('ready')
