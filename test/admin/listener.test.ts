import fastify from 'fastify'
import t, { type Test } from 'tap'
import { AdminListener, type UnreadableRequest } from '../../src/admin/listener.ts'
import { connect } from '../ingest/raw-http.ts'

async function listening(t: Test, maxHeaderSizeBytes: number) {
  const unreadable: UnreadableRequest[] = []
  const app = fastify({ logger: false })
  app.get('/', async () => ({ status: 'ok' }))
  await app.ready()
  const listen = { host: '127.0.0.1', port: 0 }
  const listener = await AdminListener.open(
    listen,
    app,
    () => 'req_1',
    (request) => unreadable.push(request),
  )
  t.teardown(() => listener.close())
  const use = (bytes: number) => listener.use(app, 0o600, bytes)
  use(maxHeaderSizeBytes)
  const port = Number(listener.address.split(':')[1])
  const ask = async (text: string) => {
    const connection = await connect(port)
    connection.write(text)
    const answer = await connection.answer()
    connection.end()
    return answer
  }
  return { unreadable, use, ask }
}

const get = (bytes: number) => `GET / HTTP/1.1\r\nHost: relay.test\r\nX-Client-Cert: ${'c'.repeat(bytes)}\r\n\r\n`

t.test('headers over server.maxHeaderSize are answered 431 with that name, and reported', async (t) => {
  const { unreadable, use, ask } = await listening(t, 32 * 1024)
  t.equal((await ask(get(17_000))).status, 200)
  t.same(unreadable, [])
  const refused = await ask(get(33_000))
  t.match(refused, { status: 431, headers: { 'x-request-id': 'req_1', connection: 'close' } })
  t.match(JSON.parse(refused.body), { error: 'invalid_request', message: /server\.maxHeaderSize/ })
  t.same(unreadable.splice(0), [{ requestId: 'req_1', status: 431, problem: 'HPE_HEADER_OVERFLOW' }])
  use(64 * 1024)
  t.equal((await ask(get(33_000))).status, 200, 'after a reload')
  t.equal((await ask('EHLO mail.test\r\n')).status, 400)
  t.match(unreadable, [{ status: 400, problem: /^HPE_/ }])
})
