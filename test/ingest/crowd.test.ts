import { once } from 'node:events'
import { createServer } from 'node:http'
import t from 'tap'
import { Connections } from '../../src/ingest/connections.ts'
import { boundConnections, mostConnections } from '../../src/ingest/crowd.ts'
import { eventually } from '../eventually.ts'
import { listening } from '../local-server.ts'
import { connect, headOf, type RawConnection } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

t.test('there may be half as many connections as files, and never more than 10,000', async (t) => {
  const most = mostConnections()
  t.ok(most > 100 && most <= 10_000, String(most))
})

t.test('where there are too many connections, the one that has waited longest makes room', async (t) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const server = createServer(async (request, response) => {
    connections.turnOf(request, response)
    request.resume()
    if (request.url === '/held') await held
    response.end('answered')
  })
  const connections = new Connections(server)
  boundConnections(server, connections, 5)
  t.teardown(() => server.closeAllConnections())
  const { port } = await listening(t, server)
  const closed = new Set<RawConnection>()
  const open = async (bytes = '') => {
    const connection = await connect(port)
    t.teardown(() => connection.end())
    void connection.closed.then(() => closed.add(connection))
    connection.write(bytes)
    return connection
  }

  const asked = once(server, 'request')
  const answered = await open(headOf({ method: 'GET', path: '/held' }))
  await asked
  const slow = once(server, 'request')
  const slowBody = await open(headOf({ path: '/', headers: { 'Content-Length': '9' } }))
  await slow
  const silent = await open()
  const half = await open('POST / HT')
  const used = await open(headOf({ method: 'GET', path: '/' }))
  t.equal((await used.answer()).body, 'answered')

  for (const [what, longest] of Object.entries({ slowBody, silent, half, used })) {
    const next = await open(headOf({ method: 'GET', path: '/' }))
    t.equal((await next.answer()).status, 200, 'a new one is answered')
    await eventually(() => closed.has(longest), `${what} is closed`)
    t.notOk(closed.has(next))
  }
  t.equal(closed.size, 4, 'and nothing else is')
  release()
  t.equal((await answered.answer()).body, 'answered', 'what is being answered stays')
})

t.test(
  'too many requests at once on a connection: the first are answered, one is refused, and the rest is not even read',
  async (t) => {
    const trial = await TrialListener.start(t)
    let read = 0
    trial.listener.server.on('request', () => {
      read += 1
    })
    const connection = await trial.connect()
    connection.write(headOf({ method: 'GET', path: '/healthz' }).repeat(1_000))
    for (let n = 0; n < 64; n += 1) t.equal((await connection.answer()).status, 200)
    const refused = await connection.answer()
    t.match(refused, {
      status: 503,
      headers: { connection: 'close', 'retry-after': '10' },
      body: /"overloaded".* wait for some/,
    })
    await connection.closed
    t.equal(connection.unread, '')
    t.equal(read, 65, 'what was sent after it is skipped')
    t.equal(trial.answered.length, 65)
    t.same(trial.unreadable, [])

    const patient = await trial.connect()
    for (let round = 0; round < 3; round += 1) {
      patient.write(headOf({ method: 'GET', path: '/healthz' }).repeat(64))
      for (let n = 0; n < 64; n += 1) t.equal((await patient.answer()).status, 200)
    }
    patient.end()
  },
)

t.test('events that were taken before there were too many requests stay taken', async (t) => {
  const trial = await TrialListener.start(t)
  const release = trial.hold()
  const connection = await trial.connect()
  const event = (n: number) => SAMPLE.replace('c-1', `c-${n}`)
  const request = (body: string) => headOf({ body, headers: trial.signed(body) }) + body
  connection.write(Array.from({ length: 100 }, (_, n) => request(event(n))).join(''))
  while (trial.outbox.calls < 64) await trial.outbox.nextCall()
  release()
  for (let n = 0; n < 64; n += 1) t.equal((await connection.answer()).status, 204)
  t.equal((await connection.answer()).status, 503)
  await connection.closed
  t.same(
    trial.outbox.recorded.map(({ event }) => event.callId),
    Array.from({ length: 64 }, (_, n) => `c-${n}`),
  )
})
