import type { LookupAddress } from 'node:dns'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, request } from 'node:http'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type LookupFunction,
  type Server,
  type Socket,
} from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { describeNetworkError } from '../../src/domain/network-error.ts'
import { Secret } from '../../src/domain/secret.ts'
import { OutgoingAgent } from '../../src/outgoing/agent.ts'
import { createConnector } from '../../src/outgoing/connector.ts'
import { createDeadlines } from '../../src/outgoing/deadlines.ts'
import { AddressHistory, AddressRace, type Connected } from '../../src/outgoing/happy-eyeballs.ts'
import { createHttpExchanges, type ExchangeOptions } from '../../src/targets/http-exchange.ts'
import { createRequests } from '../../src/ultravox/requests.ts'
import { eventually } from '../eventually.ts'
import { connectProxy } from '../targets/connect-proxy.ts'
import { running } from '../targets/sample-delivery.ts'
import { SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { stalledServer } from './stalled-server.ts'

// Each waits for the kernel to repeat or give up something.
t.jobs = 10
const beside = () => ({ buffered: true })

const answered = { kind: 'answered', status: 200 }

function resolvingTo(...addresses: string[]): LookupFunction {
  const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }))
  return (_hostname, _options, callback) => callback(null, found)
}

function exchanges(t: Test, url: string, options: Partial<ExchangeOptions>) {
  const defaults = { url: new URL(url), method: 'POST', timeoutMs: 10_000, concurrency: 1 } as const
  const made = createHttpExchanges({ ...defaults, ...options })
  t.teardown(() => made.close())
  return (signal = running) => made.send([], Buffer.from('{}'), signal)
}

async function listeningAt(t: Test, server: Server, address: string, port = 0): Promise<number> {
  server.listen(port, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function serverAt(t: Test, address: string, port = 0, listener?: RequestListener): Promise<number> {
  const server = createServer(listener ?? ((_, response) => response.end(address)))
  t.teardown(() => server.closeAllConnections())
  return listeningAt(t, server, address, port)
}

/** The state of a connection in /proc/net/tcp that waits for the answer to its SYN. */
const SYN_SENT = '02'

/** This machine's sockets in a state that are connecting to a port. */
function socketsTo(port: number, state: string): number {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/self/net/tcp', 'utf8').trim().split('\n').slice(1)
  return rows.filter((row) => {
    const columns = row.trim().split(/\s+/)
    return columns[2]!.endsWith(remote) && columns[3] === state
  }).length
}

t.test('a host whose handshake takes long is reached beside dead addresses, in whatever order', beside(), async (t) => {
  const reached = async (slowAddress: string, deadAddress: string, order: string[]) => {
    const slow = await stalledServer(t, slowAddress)
    await stalledServer(t, deadAddress, slow.port)
    const send = exchanges(t, `http://crm.internal:${slow.port}/`, { lookup: resolvingTo(...order) })
    const result = send()
    // Both attempts are under way by then, and the SYN of the slow one is repeated a second after the first.
    setTimeout(slow.release, 500)
    t.match(await result, { ...answered, response: slowAddress }, order.join(' '))
  }
  await Promise.all([
    reached('127.0.0.2', '127.0.0.3', ['127.0.0.2', '127.0.0.3']),
    reached('127.0.0.4', '127.0.0.5', ['127.0.0.5', '127.0.0.4']),
  ])
})

t.test('an address behind many dead ones is reached, and comes first from then on', beside(), async (t) => {
  const port = await serverAt(t, '127.0.0.9', 0, (_, response) => response.setHeader('connection', 'close').end())
  const dead = ['127.0.0.2', '127.0.0.3', '127.0.0.4']
  for (const address of dead) await stalledServer(t, address, port)
  const connector = createConnector(createDeadlines(10_000), { lookup: resolvingTo(...dead, '127.0.0.9') })
  const to = { hostname: 'crm.internal', host: `crm.internal:${port}`, protocol: 'http:', port: String(port) }
  const connect = () =>
    new Promise<Socket>((resolve, reject) =>
      connector.connect(to, (error, socket) => (error === null ? resolve(socket) : reject(error))),
    )
  t.equal((await connect()).remoteAddress, '127.0.0.9')
  t.equal(socketsTo(port, SYN_SENT), 0, 'the other attempts have ended')
  const second = connect()
  t.equal(socketsTo(port, SYN_SENT), 0, 'the dead ones are not tried first again')
  t.equal((await second).remoteAddress, '127.0.0.9')
  connector.destroyAll()
})

t.test('where no address answers, the error names each with its reason', beside(), async (t) => {
  const stalled = await stalledServer(t, '127.0.0.2')
  const host = `crm.internal:${stalled.port}`
  const lookup = resolvingTo('127.0.0.3', '127.0.0.2')
  const problem = `connect: 127.0.0.3:${stalled.port} ECONNREFUSED, 127.0.0.2:${stalled.port} no answer within 0.5s`
  const send = exchanges(t, `http://${host}/`, { lookup, timeoutMs: 500 })
  t.same(await send(), { kind: 'failed', error: `timeout: ${problem}` })

  const connector = createConnector(createDeadlines(500), { lookup })
  const to = { hostname: 'crm.internal', host, protocol: 'http:', port: String(stalled.port) }
  const error = await new Promise((resolve) => connector.connect(to, (...[failure]) => resolve(failure)))
  t.equal(describeNetworkError(error, host), problem)

  const refused = exchanges(t, `http://${host}/`, { lookup: resolvingTo('127.0.0.3', '127.0.0.4', '127.0.0.3') })
  const both = `connect: 127.0.0.3:${stalled.port} ECONNREFUSED, 127.0.0.4:${stalled.port} ECONNREFUSED`
  t.same(await refused(), { kind: 'failed', error: both }, 'each address once')

  const many = Array.from({ length: 100 }, (_, n) => `127.0.1.${n + 1}`)
  const crowd = await exchanges(t, `http://${host}/`, { lookup: resolvingTo(...many) })()
  t.match(crowd, { error: /^connect: 127\.0\.1\.1:\d+ ECONNREFUSED, .* and \d+ more$/ })
  t.ok('error' in crowd && crowd.error.length < 1_100)
})

t.test('attempts that are called off leave no socket', beside(), async (t) => {
  const { port } = await stalledServer(t, '127.0.0.2')
  await stalledServer(t, '127.0.0.3', port)
  const connecting = () => socketsTo(port, SYN_SENT)
  const made = createHttpExchanges({
    url: new URL(`http://crm.internal:${port}/`),
    method: 'POST',
    timeoutMs: 60_000,
    concurrency: 1,
    lookup: resolvingTo('127.0.0.2', '127.0.0.3'),
  })
  const abort = new AbortController()
  const result = made.send([], Buffer.from('{}'), abort.signal)
  await eventually(() => connecting() === 2, 'both attempts are under way')
  abort.abort()
  t.same(await result, { kind: 'interrupted' })
  await made.close()
  await eventually(() => connecting() === 0, 'both are closed')
})

t.test(
  'an address whose TLS handshake breaks or hangs does not keep the others from being tried',
  beside,
  async (t) => {
    const tls = { ca: new Secret(SELF_SIGNED_CRM.cert), cert: null, key: null, servername: null, insecure: false }
    const good = createTlsServer(SELF_SIGNED_CRM, (socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
    )
    const port = await listeningAt(t, good, '127.0.0.2')
    const hangs = createTcpServer((socket) => void socket.on('error', () => {}).resume())
    await listeningAt(t, hangs, '127.0.0.3', port)
    const resets = createTcpServer(
      (socket) => void socket.on('error', () => {}).once('data', () => socket.resetAndDestroy()),
    )
    await listeningAt(t, resets, '127.0.0.4', port)
    for (const bad of ['127.0.0.3', '127.0.0.4']) {
      const lookup = resolvingTo(bad, '127.0.0.2')
      const send = exchanges(t, `https://crm.internal:${port}/`, { tls, lookup, timeoutMs: 4_000 })
      t.match(await send(), answered, bad)
    }
    const send = exchanges(t, `https://crm.internal:${port}/`, { lookup: resolvingTo('127.0.0.2', '127.0.0.3') })
    t.same(
      await send(),
      { kind: 'failed', error: `tls: DEPTH_ZERO_SELF_SIGNED_CERT crm.internal:${port}` },
      'a certificate that is not trusted is the answer of the host',
    )
  },
)

t.test('a proxy with a dead address is reached too', beside(), async (t) => {
  const upstream = await serverAt(t, '127.0.0.1')
  const proxy = await connectProxy(t, { upstream })
  const { port } = new URL(proxy.origin)
  await stalledServer(t, '127.0.0.2', Number(port))
  const options = { proxy: new Secret(`http://proxy.internal:${port}`), lookup: resolvingTo('127.0.0.2', '127.0.0.1') }
  t.match(await exchanges(t, 'http://crm.internal/', options)(), answered)
  const nowhere = { ...options, lookup: resolvingTo('127.0.0.3', '127.0.0.4') }
  t.same(await exchanges(t, 'http://crm.internal/', nowhere)(), {
    kind: 'failed',
    error: `proxy: connect: 127.0.0.3:${port} ECONNREFUSED, 127.0.0.4:${port} ECONNREFUSED`,
  })
})

t.test('requests to a collector and to the provider are made over such connections too', beside(), async (t) => {
  const dead = await stalledServer(t, '127.0.0.2')
  await serverAt(t, '127.0.0.3', dead.port, (_, response) => response.end('[]'))
  const lookup = resolvingTo('127.0.0.2', '169.254.169.254', '127.0.0.3')
  const throughAgent = async (agent: OutgoingAgent, url: string) => {
    t.teardown(() => agent.destroy())
    const [response] = (await once(request(url, { agent }).end(), 'response')) as [IncomingMessage]
    return response.resume().socket.remoteAddress
  }
  const url = `http://traces.internal:${dead.port}/`
  t.equal(await throughAgent(new OutgoingAgent('http:', 10_000, { lookup }), url), '127.0.0.3')
  const nowhere = new OutgoingAgent('http:', 10_000, { lookup: resolvingTo('127.0.0.4', '169.254.169.254') })
  await t.rejects(throughAgent(nowhere, url), {
    message: `connect: ECONNREFUSED 127.0.0.4:${dead.port}`,
    code: 'ECONNREFUSED',
  })
  const metadata = new OutgoingAgent('http:', 10_000)
  await t.rejects(throughAgent(metadata, 'http://169.254.169.254/'), { message: /is a link-local address$/ })

  const access = { baseUrl: `http://api.test:${dead.port}`, apiKey: new Secret('key'), random: () => 0.5 }
  const requests = createRequests({ ...access, lookup })
  t.teardown(() => requests.close())
  const answer = await requests.send({ method: 'GET', path: '/api/calls', name: '/api/calls' })
  t.equal(answer.status, 200)
  const lost = createRequests({ ...access, lookup: resolvingTo('127.0.0.2'), timeoutMs: 300, pause: async () => {} })
  t.teardown(() => lost.close())
  await t.rejects(lost.send({ method: 'POST', path: '/api/calls', name: '/api/calls' }), {
    message: `POST /api/calls: connect: ETIMEDOUT 127.0.0.2:${dead.port}, no answer within 0.27s; tried 6 times`,
  })
})

/** A race over addresses whose connections do what the test says. */
function race(addresses: readonly string[], timeoutMs = 10_000, history = new AddressHistory()) {
  const opened: { address: string; done: Connected; socket: EventEmitter; isDestroyed: boolean }[] = []
  const results: unknown[] = []
  const made = new AddressRace({
    addresses,
    port: 443,
    timeoutMs,
    history,
    open(address, done) {
      const socket = Object.assign(new EventEmitter(), {
        destroy() {
          attempt.isDestroyed = true
        },
      })
      const attempt = { address, done, socket, isDestroyed: false }
      opened.push(attempt)
      return socket as unknown as Socket
    },
  })
  made.start((...result) => results.push(result))
  return { race: made, opened, results, history }
}

const networkError = (code: string) => Object.assign(new Error(code), { code, syscall: 'connect' })

t.test('an address without a route is followed by the next at once', beside(), async (t) => {
  const { race: made, opened, results } = race(['2001:db8::1', '10.0.0.1'])
  opened[0]!.done(networkError('ENETUNREACH'), null)
  t.same(
    opened.map(({ address }) => address),
    ['2001:db8::1', '10.0.0.1'],
  )
  opened[1]!.done(null, opened[1]!.socket as Socket)
  t.same(results, [[null, opened[1]!.socket]])
  made.destroy()
})

t.test(
  'the first connection ends the other attempts, which are resumed where its handshake fails',
  beside,
  async (t) => {
    const { opened, results } = race(['10.0.0.1', '10.0.0.2', '10.0.0.3'], 600)
    await eventually(() => opened.length === 3, 'all are tried')
    opened[1]!.socket.emit('connect')
    t.same(
      opened.map(({ isDestroyed }) => isDestroyed),
      [true, false, true],
    )
    opened[1]!.done(networkError('ECONNRESET'), null)
    t.same(opened[3]!.address, '10.0.0.1')
    opened[3]!.done(networkError('ECONNREFUSED'), null)
    opened[4]!.done(networkError('EHOSTUNREACH'), null)
    t.equal(
      describeNetworkError((results as [Error][])[0]![0], 'crm.internal'),
      'connect: 10.0.0.2:443 ECONNRESET, 10.0.0.1:443 ECONNREFUSED, 10.0.0.3:443 EHOSTUNREACH',
    )
  },
)

t.test('the number of attempts at a time is bounded, and all addresses have their turn', beside(), async (t) => {
  const addresses = Array.from({ length: 18 }, (_, n) => `10.0.0.${n + 1}`)
  const { race: made, opened, results } = race(addresses, 1_000)
  let most = 0
  await eventually(() => {
    most = Math.max(most, opened.filter(({ isDestroyed }) => !isDestroyed).length)
    return opened.length === addresses.length
  }, 'all were tried')
  t.equal(most, 16)
  t.match(describeNetworkError(made.timeoutError(), ''), /^connect: 10\.0\.0\.1:443 no answer within \d/)
  made.destroy()
  t.ok(opened.every(({ isDestroyed }) => isDestroyed))
  t.same(results, [])
})

t.test(
  'addresses are tried once each, alternating between the families, those that failed lately last',
  beside,
  async (t) => {
    const history = new AddressHistory()
    const found = (...addresses: string[]) => addresses.map((address) => ({ address, family: 0 }))
    const all = found('2001:db8::1', '2001:db8::2', '10.0.0.1', '2001:db8::1', '10.0.0.2', '10.0.0.3')
    t.same(history.order(all), ['2001:db8::1', '10.0.0.1', '2001:db8::2', '10.0.0.2', '10.0.0.3'])
    history.demote('2001:db8::1')
    history.demote('10.0.0.1')
    history.demote('2001:db8::1')
    t.same(history.order(all), ['2001:db8::2', '10.0.0.2', '10.0.0.3', '10.0.0.1', '2001:db8::1'])
    history.restore('10.0.0.1')
    t.same(history.order(found('10.0.0.2', '10.0.0.1')), ['10.0.0.2', '10.0.0.1'], 'the order of the resolver')
    t.same(history.order(found('10.0.0.9')), ['10.0.0.9'], 'addresses that the name no longer has are not tried')
  },
)
