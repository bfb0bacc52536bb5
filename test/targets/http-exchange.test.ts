import { getEventListeners, once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createHttpExchanges, type ExchangeOptions } from '../../src/targets/http-exchange.ts'
import { eventually } from '../eventually.ts'
import { listening, rawHttpServer, tcpServer } from '../local-server.ts'
import { running } from './sample-delivery.ts'
import { SELF_SIGNED } from './self-signed.ts'

function exchanges(t: Test, url: string, options: Partial<ExchangeOptions> = {}) {
  const defaults = { url: new URL(url), method: 'POST', timeoutMs: 5_000, concurrency: 1 } as const
  const made = createHttpExchanges({ ...defaults, ...options })
  t.teardown(() => made.close())
  return made
}

const body = Buffer.from('{}')
const headers = ['content-type', 'application/json']
const armed = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length

/** A server that answers each request with these bytes, as soon as its first byte is there. */
const answering = (t: Test, bytes: string, then: (socket: Socket) => void = () => {}) =>
  tcpServer(t, (socket) => socket.on('data', () => socket.write(bytes, () => then(socket))))

t.test('a connection is used again', async (t) => {
  let connections = 0
  const { origin, server } = await rawHttpServer(
    t,
    (request, response) => void request.resume().on('end', () => response.end()),
  )
  server.on('connection', () => connections++)
  const { send } = exchanges(t, origin)
  for (let i = 0; i < 5; i++) t.match(await send(headers, body, running), { kind: 'answered', status: 200 })
  t.equal(connections, 1)
})

t.test('there are never more connections than the concurrency, and all exchanges end', async (t) => {
  let open = 0
  let most = 0
  const { origin } = await rawHttpServer(t, (_, response) => {
    most = Math.max(most, ++open)
    setImmediate(() => response.end(() => open--))
  })
  const { send } = exchanges(t, origin, { concurrency: 4 })
  const results = await Promise.all(Array.from({ length: 40 }, () => send(headers, body, running)))
  t.ok(results.every(({ kind }) => kind === 'answered'))
  t.ok(most <= 4, `${most} at most`)
})

t.test('informational responses before the answer are passed over', async (t) => {
  const early = 'HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\nretry-after: 9\r\n\r\n'
  const { origin } = await answering(t, `${early}${early}HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nhi`)
  const result = await exchanges(t, origin).send(headers, body, running)
  t.same(result, { kind: 'answered', status: 201, retryAfter: undefined, response: 'hi' })
})

t.test('an informational response is not yet an answer', async (t) => {
  const { origin } = await answering(t, 'HTTP/1.1 103 Early Hints\r\n\r\n', (socket) => socket.end())
  const result = await exchanges(t, origin).send(headers, body, running)
  t.match(result, { kind: 'failed', error: /^network: / })
  t.notOk('status' in result)
})

t.test('an answer that comes before the request was read counts, however large the request', async (t) => {
  const { origin } = await tcpServer(t, (socket) => {
    socket.pause()
    socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
  })
  const result = await exchanges(t, origin).send(headers, Buffer.alloc(8 * 1024 * 1024), running)
  t.match(result, { kind: 'answered', status: 413, response: undefined })
})

t.test('a server that never answers runs into the deadline, and its connection is closed', async (t) => {
  const sockets: Socket[] = []
  const { origin } = await tcpServer(t, (socket) => sockets.push(socket.resume()))
  const before = armed()
  const result = await exchanges(t, origin, { timeoutMs: 100 }).send(headers, body, running)
  t.same(result, { kind: 'failed', error: 'timeout: no complete answer within 0.1s' })
  t.equal(armed(), before, 'no timer is left')
  await eventually(() => sockets[0]!.readableEnded, 'the connection is closed')
})

t.test('a body that drips for longer than the deadline is a timeout, whatever its status', async (t) => {
  const { origin } = await rawHttpServer(t, (_, response) => {
    response.write('slow')
    const drip = setInterval(() => response.write('.'), 10)
    response.on('close', () => clearInterval(drip))
  })
  const result = await exchanges(t, origin, { timeoutMs: 500 }).send(headers, body, running)
  t.match(result, { kind: 'failed', status: 200, error: /^timeout/, response: /^slow\.*$/ })
})

t.test('a handshake that never ends runs into the deadline, and gives its place to the next', async (t) => {
  const sockets: Socket[] = []
  const { port } = await tcpServer(t, (socket) => {
    sockets.push(socket.resume())
  })
  const { send } = exchanges(t, `https://127.0.0.1:${port}`, { timeoutMs: 100 })
  for (let i = 0; i < 2; i++) t.match(await send(headers, body, running), { error: /^timeout/ })
  await eventually(() => sockets.length === 2 && sockets.every((socket) => socket.readableEnded), 'both are closed')
})

t.test('closing ends connections that are still being made', async (t) => {
  let socket: Socket | undefined
  const { server, port } = await tcpServer(t, (connected) => {
    socket = connected.resume()
  })
  const made = createHttpExchanges({
    url: new URL(`https://127.0.0.1:${port}`),
    method: 'POST',
    timeoutMs: 60_000,
    concurrency: 1,
  })
  const abort = new AbortController()
  const result = made.send(headers, body, abort.signal)
  await once(server, 'connection')
  abort.abort()
  t.same(await result, { kind: 'interrupted' })
  await made.close()
  await eventually(() => socket!.readableEnded || socket!.destroyed, 'the connection is closed')
})

t.test('one that waits for a connection runs into its own deadline, and leaves the next one a place', async (t) => {
  const numbers: unknown[] = []
  const { origin } = await rawHttpServer(t, (request, response) => {
    numbers.push(request.headers['x-number'])
    if (request.headers['x-number'] === '3') response.end()
  })
  const { send } = exchanges(t, origin, { timeoutMs: 500 })
  const first = [send(['x-number', '1'], body, running), send(['x-number', '2'], body, running)]
  t.match(await Promise.all(first), [{ error: /^timeout/ }, { error: /^timeout/ }])
  t.match(await send(['x-number', '3'], body, running), { kind: 'answered' })
  // The second may get its place in the moment between the two deadlines.
  t.same(
    numbers.filter((number) => number !== '2'),
    ['1', '3'],
  )
})

t.test('8 KiB of an answer are kept, cut between characters', async (t) => {
  const { origin } = await rawHttpServer(t, (_, response) => response.end(`x${'é'.repeat(10_000)}`))
  const result = await exchanges(t, origin).send(headers, body, running)
  t.same(result, { kind: 'answered', status: 200, retryAfter: undefined, response: `x${'é'.repeat(4095)}` })
})

t.test('an answer without an end is cut off after 1 MiB, and its status counts', async (t) => {
  let sent = 0
  const { origin } = await rawHttpServer(t, (_, response) => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const pour = () => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length
    }
    response.on('drain', pour)
    pour()
  })
  const result = await exchanges(t, origin).send(headers, body, running)
  t.match(result, { kind: 'answered', status: 200, response: 'x'.repeat(8192) })
  t.ok(sent < 16 * 1024 * 1024, `${sent} bytes were sent`)
})

t.test('an encoded answer is taken as it is', async (t) => {
  const { origin } = await rawHttpServer(t, (_, response) =>
    response.setHeader('content-encoding', 'gzip').end('plain'),
  )
  t.match(await exchanges(t, origin).send(headers, body, running), { status: 200, response: 'plain' })
})

t.test('connections that break, at whatever stage, are failures', async (t) => {
  const stages = {
    'at once': tcpServer(t, (socket) => socket.resetAndDestroy()),
    'within the request': tcpServer(t, (socket) => socket.once('data', () => socket.resetAndDestroy())),
    'closed without an answer': tcpServer(t, (socket) => socket.once('data', () => socket.end())),
    'within the headers': answering(t, 'HTTP/1.1 200 OK\r\ncontent-le', (socket) => socket.end()),
    'within the body': answering(t, 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf', (socket) => socket.end()),
    'within a chunk': answering(t, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nha', (socket) =>
      socket.end(),
    ),
  }
  for (const [stage, server] of Object.entries(stages)) {
    const { origin } = await server
    const result = await exchanges(t, `${origin}/path?key=sesame`).send(headers, Buffer.alloc(300_000), running)
    t.match(result, { kind: 'failed', error: /^(connect|network|protocol): / }, `reset ${stage}`)
    t.notMatch(JSON.stringify(result), /sesame|path/)
  }
})

t.test('what is no HTTP is a failure', async (t) => {
  const garbage = {
    'another protocol': answering(t, 'SSH-2.0-OpenSSH_9.2\r\n'),
    'headers without an end': answering(t, `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}`),
    '100 Continue': answering(t, 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'),
    'an upgrade nobody asked for': answering(t, 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  }
  for (const [what, server] of Object.entries(garbage)) {
    const { send } = exchanges(t, (await server).origin)
    const result = await send(headers, body, running)
    t.match(result, { kind: 'failed', error: /^(protocol|network): / }, what)
    t.match(await send(headers, body, running), { kind: 'failed' }, `${what}, again`)
  }
})

t.test('a refused connection and an unknown host are failures with their address', async (t) => {
  const { server, origin, host } = await tcpServer(t, () => {})
  server.close()
  const refused = await exchanges(t, origin).send(headers, body, running)
  t.same(refused, { kind: 'failed', error: `connect: ECONNREFUSED ${host}` })
  const unknown = await exchanges(t, 'http://crm.invalid/path').send(headers, body, running)
  t.match(unknown, { kind: 'failed', error: /^dns: E[A-Z_]+ crm\.invalid$/ })
})

t.test('a certificate that nobody vouches for is a failure', async (t) => {
  const { port } = await listening(
    t,
    createTlsServer(SELF_SIGNED, (_, response) => response.end()),
  )
  const result = await exchanges(t, `https://127.0.0.1:${port}`).send(headers, body, running)
  t.same(result, { kind: 'failed', error: `tls: DEPTH_ZERO_SELF_SIGNED_CERT 127.0.0.1:${port}` })
})

t.test('plain HTTP where TLS is expected is a failure', async (t) => {
  const { port } = await rawHttpServer(t, (_, response) => response.end())
  const result = await exchanges(t, `https://127.0.0.1:${port}`).send(headers, body, running)
  t.match(result, { kind: 'failed', error: /^tls: / })
})

t.test('an attempt that is called off before it begins sends nothing', async (t) => {
  let requests = 0
  const { origin } = await rawHttpServer(t, () => requests++)
  t.same(await exchanges(t, origin).send(headers, body, AbortSignal.abort()), { kind: 'interrupted' })
  t.equal(requests, 0)
})

t.test('an attempt that is called off is interrupted, and its connection closed', async (t) => {
  const abort = new AbortController()
  let closed = false
  const { origin } = await rawHttpServer(t, (request, response) => {
    request.resume()
    response.on('close', () => {
      closed = true
    })
    response.write('begun')
    abort.abort()
  })
  const { send } = exchanges(t, origin)
  t.same(await send(headers, body, abort.signal), { kind: 'interrupted' })
  await eventually(() => closed, 'the connection is closed')
})

t.test('after every kind of trouble the same pool still works', async (t) => {
  let requests = 0
  const { origin } = await rawHttpServer(t, (_, response) => {
    const trouble = requests++ % 4
    if (trouble === 0) response.destroy()
    else if (trouble === 1) response.write('never ends')
    else if (trouble === 2) response.socket!.end('garbage\r\n\r\n')
    else response.end()
  })
  const { send } = exchanges(t, origin, { timeoutMs: 1_000 })
  const kinds: string[] = []
  for (let i = 0; i < 8; i++) kinds.push((await send(headers, body, running)).kind)
  t.same(kinds, ['failed', 'failed', 'failed', 'answered', 'failed', 'failed', 'failed', 'answered'])
})

t.test('an attempt that has ended leaves no listener on its signal', async (t) => {
  const { origin } = await rawHttpServer(t, (_, response) => response.end())
  const { send } = exchanges(t, origin)
  const { signal } = new AbortController()
  t.match(await send(headers, body, signal), { kind: 'answered' })
  t.same(getEventListeners(signal, 'abort'), [])
})
