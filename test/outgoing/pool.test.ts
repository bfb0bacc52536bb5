import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, LookupFunction } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { Resolver } from '../../src/outgoing/resolver.ts'
import { createHttpExchanges, type ExchangeOptions } from '../../src/targets/http-exchange.ts'
import { rawHttpServer } from '../local-server.ts'
import { connectProxy } from '../targets/connect-proxy.ts'
import { running } from '../targets/sample-delivery.ts'
import { SELF_SIGNED_CRM } from '../targets/self-signed.ts'

const body = Buffer.from('{}')
const answered = { kind: 'answered', status: 200 }

function exchanges(t: Test, url: string, options: Partial<ExchangeOptions> = {}) {
  const defaults = { url: new URL(url), method: 'POST', timeoutMs: 5_000, concurrency: 1 } as const
  const made = createHttpExchanges({ ...defaults, ...options })
  t.teardown(() => made.close())
  return (signal = running) => made.send([], body, signal)
}

/** A server on one of this machine's own addresses; `port` 0 is any. */
async function serverAt(t: Test, address: string, port: number, listener: RequestListener): Promise<Server> {
  const server = createServer(listener)
  server.keepAliveTimeout = 60_000
  server.listen(port, address)
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return server
}

const portOf = (server: Server) => (server.address() as AddressInfo).port

/** Two servers on the same port of two addresses, and a resolver whose answer can be changed. */
async function movingHost(t: Test) {
  const old = await serverAt(t, '127.0.0.1', 0, (_, response) => response.end('old'))
  const port = portOf(old)
  await serverAt(t, '127.0.0.2', port, (_, response) => response.end('new'))
  let address: string | null = '127.0.0.1'
  let asked = 0
  const lookup: LookupFunction = (_, options, callback) => {
    asked++
    if (address === null) callback(Object.assign(new Error('silent'), { code: 'EAI_AGAIN' }), '', 0)
    else if (options.all) callback(null, [{ address, family: 4 }])
    else callback(null, address, 4)
  }
  const move = (to: string | null = '127.0.0.2') => {
    address = to
  }
  return { url: `http://crm.internal:${port}/`, lookup, move, asked: () => asked }
}

t.test('a host whose name moves is followed under steady traffic, and no request is lost', async (t) => {
  const { url, lookup, move } = await movingHost(t)
  const send = exchanges(t, url, { lookup, maxConnectionAgeMs: 100 })
  t.match(await send(), { ...answered, response: 'old' })
  move()
  const responses: unknown[] = []
  while (!responses.includes('new') && responses.length < 20_000) {
    const result = await send()
    if (result.kind !== 'answered') return t.fail(JSON.stringify(result))
    responses.push(result.response)
  }
  t.ok(responses.includes('new'), `after ${responses.length} requests`)
  for (let i = 0; i < 20; i++) t.match(await send(), { ...answered, response: 'new' })
})

t.test(
  'a host that has moved is reached although its kept answer is old, and nothing else is tried twice',
  async (t) => {
    const { url, lookup, move, asked } = await movingHost(t)
    const resolver = new Resolver(lookup, { freshMs: 60_000, staleMs: 60_000, missingMs: 0 })
    const ask = () =>
      new Promise<void>((resolve) => resolver.resolve('crm.internal', { timeoutMs: 1_000 }, () => resolve()))
    move('127.0.0.3')
    await ask()
    move()
    t.match(await exchanges(t, url, { resolver })(), { ...answered, response: 'new' })
    t.equal(asked(), 2)

    move('127.0.0.3')
    resolver.distrust('crm.internal')
    await ask()
    move('127.0.0.4')
    const { port } = new URL(url)
    const both = `connect: 127.0.0.3:${port} ECONNREFUSED, 127.0.0.4:${port} ECONNREFUSED`
    t.same(await exchanges(t, url, { resolver })(), { kind: 'failed', error: both })

    move(null)
    const last = `connect: ECONNREFUSED 127.0.0.4:${port}`
    t.same(await exchanges(t, url, { resolver })(), { kind: 'failed', error: last }, 'the resolver fails')
    move('127.0.0.4')
    await ask()
    const before = asked()
    t.same(await exchanges(t, url, { resolver })(), { kind: 'failed', error: last }, 'the name has not moved')
    t.equal(asked(), before + 1)
  },
)

t.test('a connection that works is kept while its name cannot be resolved', async (t) => {
  const { url, lookup, move, asked } = await movingHost(t)
  const send = exchanges(t, url, { lookup, maxConnectionAgeMs: 1 })
  t.match(await send(), { ...answered, response: 'old' })
  move(null)
  const before = asked()
  for (let i = 0; i < 50; i++) t.match(await send(), { ...answered, response: 'old' })
  t.equal(asked() - before, 1, 'it is not asked for with each request')
})

t.test('a pool that is never idle follows it too', async (t) => {
  const { url, lookup, move } = await movingHost(t)
  const send = exchanges(t, url, { lookup, concurrency: 4, maxConnectionAgeMs: 50 })
  const seen = new Map<string, number>()
  let isMoved = false
  const sender = async () => {
    while ((seen.get('new') ?? 0) < 200 && (seen.get('old') ?? 0) < 20_000) {
      const result = await send()
      if (result.kind !== 'answered') throw new Error(JSON.stringify(result))
      seen.set(result.response!, (seen.get(result.response!) ?? 0) + 1)
      if (!isMoved && seen.get('old') === 100) {
        isMoved = true
        move()
      }
    }
  }
  // More than there are connections, so that requests always wait for one.
  await Promise.all(Array.from({ length: 16 }, sender))
  t.ok(seen.get('new')! >= 200)
})

t.test('requests that start at once on connections that are too old are all answered', async (t) => {
  let connections = 0
  const { server, origin } = await rawHttpServer(t, (request, response) =>
    request.resume().on('end', () => response.end()),
  )
  server.on('connection', () => connections++)
  const send = exchanges(t, origin, { concurrency: 8, maxConnectionAgeMs: 1 })
  for (let round = 0; round < 5; round++) {
    const results = await Promise.all(Array.from({ length: 100 }, () => send()))
    t.equal(results.filter(({ kind }) => kind === 'answered').length, 100)
  }
  t.ok(connections > 40, `${connections} connections`)
})

t.test('a request under way is not cut when its connection gets too old', async (t) => {
  let finish = () => {}
  let isFinished = false
  let connections = 0
  const { server, origin } = await rawHttpServer(t, (_, response) => {
    finish = () => response.end('late')
    if (isFinished) finish()
  })
  server.on('connection', () => connections++)
  const send = exchanges(t, origin, { maxConnectionAgeMs: 1 })
  const [slow, next] = [send(), send()]
  await once(server, 'request')
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(connections, 1)
  isFinished = true
  finish()
  t.match(await slow, { ...answered, response: 'late' })
  t.match(await next, answered)
  // The first of these has the name looked up, a later one goes over another connection.
  for (let i = 0; i < 100 && connections === 1; i++) t.match(await send(), answered)
  t.equal(connections, 2)
})

t.test('a connection is used again while it is young', async (t) => {
  let connections = 0
  const { server, origin } = await rawHttpServer(t, (_, response) => response.end())
  server.on('connection', () => connections++)
  const send = exchanges(t, origin)
  for (let i = 0; i < 50; i++) t.match(await send(), answered)
  t.equal(connections, 1)
})

t.test('the trailing dot of a host is for DNS and the request, not for TLS', async (t) => {
  const seen: unknown[] = []
  const server = createTlsServer(SELF_SIGNED_CRM, (request, response) => {
    seen.push([(request.socket as TLSSocket).servername, request.headers.host])
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const asked: string[] = []
  const lookup: LookupFunction = (host, options, callback) => {
    asked.push(host)
    if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }])
    else callback(null, '127.0.0.1', 4)
  }
  const proxy = await connectProxy(t, { upstream: port })
  const tls = { ca: new Secret(SELF_SIGNED_CRM.cert), cert: null, key: null, servername: null, insecure: false }
  const url = `https://crm.internal.:${port}/`
  t.match(await exchanges(t, url, { tls, lookup })(), answered)
  t.match(await exchanges(t, url, { tls, proxy: new Secret(proxy.origin) })(), answered)
  const other = { ...tls, insecure: true, servername: 'hr.internal' }
  t.match(await exchanges(t, url, { tls: other, lookup })(), answered)
  const host = `crm.internal.:${port}`
  t.same(seen, [
    ['crm.internal', host],
    ['crm.internal', host],
    ['hr.internal', host],
  ])
  t.same(asked, ['crm.internal.', 'crm.internal.'])
  t.equal(proxy.asked[0]!.authority, host)
})

t.test('tunnels through a proxy and TLS connections are retired too', async (t) => {
  const server = createTlsServer(SELF_SIGNED_CRM, (_, response) => response.end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy = await connectProxy(t, { upstream: (server.address() as AddressInfo).port })
  const tls = { ca: new Secret(SELF_SIGNED_CRM.cert), cert: null, key: null, servername: null, insecure: false }
  const options = { proxy: new Secret(proxy.origin), maxConnectionAgeMs: 1 }
  const send = exchanges(t, 'https://crm.internal/', { ...options, tls })
  let sent = 0
  while (proxy.asked.length < 3 && sent < 1_000) {
    t.match(await send(), answered)
    sent++
  }
  t.equal(proxy.asked.length, 3)
  const open = [...proxy.sockets].filter((socket) => !socket.destroyed && !socket.readableEnded)
  t.ok(open.length <= 4, 'those that were retired are closed')
})
