import { once } from 'node:events'
import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { mostConnections } from '../../src/ingest/connection-limit.ts'
import { Connections } from '../../src/ingest/connections.ts'
import { peerAt } from '../../src/ingest/peer.ts'
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
  const connections = new Connections(server, { most: 5, isProxy: () => false, isTrusted: () => true })
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

/** Echoes on a server with few connections; `127.0.0.9` is a proxy that names its clients. */
async function bounded(t: Test, most: number) {
  const server = createServer((request, response) => {
    if (connections.turnOf(request, response) !== 'answer') return
    const client = request.headers['x-forwarded-for']
    if (client !== undefined) connections.attribute(request.socket, peerAt(client as string)!)
    request.resume()
    request.on('end', () => response.end(request.url === '/large' ? Buffer.alloc(20_000_000) : 'answered'))
  })
  const connections = new Connections(server, {
    most,
    isProxy: (address) => address === '127.0.0.9',
    isTrusted: (address) => address === '127.0.0.8',
  })
  const { port } = await listening(t, server)
  const open = async (from: string, bytes = '') => {
    const connection = await connect(port, from)
    t.teardown(() => connection.end())
    connection.write(bytes)
    return connection
  }
  return { open, connections, server }
}

const HALF = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Le'
const REST = 'ngth: 0\r\n\r\n'

t.test('networks that hold many connections make room for others, however new those are', async (t) => {
  const { open, connections } = await bounded(t, 20)
  const genuine = await open('127.0.0.1', HALF)
  for (let n = 0; n < 60; n += 1) await open(`127.0.0.${2 + (n % 4)}`, n % 2 === 0 ? HALF : '')
  t.equal(connections.count, 20)
  genuine.write(REST)
  t.equal((await genuine.answer()).body, 'answered')
})

t.test('one network has half of the connections at most', async (t) => {
  const { open, connections } = await bounded(t, 20)
  const first = await open('127.0.0.2', HALF)
  for (let n = 0; n < 15; n += 1) await open('127.0.0.2')
  await first.closed
  t.equal(connections.count, 10)
})

t.test(
  'connections of proxies and of trusted peers outlast all others, and there may be any number of them',
  async (t) => {
    const { open, connections } = await bounded(t, 20)
    const proxied = await open('127.0.0.9', HALF)
    const trusted = await open('127.0.0.8', HALF)
    for (let n = 0; n < 12; n += 1) await open('127.0.0.9')
    for (let n = 0; n < 30; n += 1) await open(`127.0.1.${n}`, HALF)
    t.equal(connections.count, 20)
    for (const connection of [proxied, trusted]) {
      connection.write(REST)
      t.equal((await connection.answer()).body, 'answered')
    }
  },
)

t.test('a client behind a proxy makes room for the others behind it', async (t) => {
  const { open, connections } = await bounded(t, 20)
  const unfinished = (client: string) =>
    headOf({ path: '/', headers: { 'X-Forwarded-For': client, 'Content-Length': '2' } })
  const genuine = await open('127.0.0.9', `${unfinished('203.0.113.1')}x`)
  for (let n = 0; n < 60; n += 1) await open('127.0.0.9', unfinished(`203.0.113.${2 + (n % 2)}`))
  await eventually(() => connections.count === 20, 'the others are closed')
  genuine.write('y')
  t.equal((await genuine.answer()).body, 'answered')
})

t.test('a client that does not read its answers makes room for others, and is closed after a while', async (t) => {
  const { open, connections, server } = await bounded(t, 4)
  server.timeout = 300
  const stuck = async () => {
    const deaf = await open('127.0.0.2', headOf({ method: 'GET', path: '/large' }))
    deaf.socket.pause()
    await eventually(() => [...connections.unanswered()].some((response) => response.writableEnded), 'it is answered')
    return deaf
  }
  const makingRoom = await stuck()
  for (let n = 0; n < 4; n += 1) await open(`127.0.0.${3 + n}`)
  t.equal(connections.count, 4)
  t.equal([...connections.unanswered()].length, 0, 'it is the one that is closed')
  makingRoom.socket.resume()
  await makingRoom.closed
  await stuck()
  await eventually(() => [...connections.unanswered()].length === 0, 'it is closed')
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
