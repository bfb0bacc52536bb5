import { once } from 'node:events'
import { createServer } from 'node:http'
import t from 'tap'
import { Connections } from '../../src/ingest/connections.ts'
import { boundConnections, mostConnections } from '../../src/ingest/crowd.ts'
import { eventually } from '../eventually.ts'
import { listening } from '../local-server.ts'
import { connect, headOf, type RawConnection } from './raw-http.ts'

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
    request.resume()
    if (request.url === '/held') await held
    response.end('answered')
  })
  boundConnections(server, new Connections(server), 5)
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
