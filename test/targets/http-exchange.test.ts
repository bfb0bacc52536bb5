import { subscribe, unsubscribe } from 'node:diagnostics_channel'
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

t.test('interim responses before the answer are skipped, whatever they are and however they arrive', async (t) => {
  const interims = {
    '100 Continue': 'HTTP/1.1 100 Continue\r\n\r\n',
    'several of them': 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(3),
    'one that closes': 'HTTP/1.1 100 Continue\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
    'one of HTTP/1.0': 'HTTP/1.0 100 Continue\r\n\r\n',
    'one with bare line feeds': 'HTTP/1.1 100 Continue\n\n',
    'hundreds of 102': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(400),
    '103 with 30 KiB of headers': `HTTP/1.1 103 Early Hints\r\nretry-after: 9\r\n${'link: </x>; rel=preload\r\n'.repeat(1_300)}\r\n`,
    'one that nobody knows': 'HTTP/1.1 199 X\r\n\r\n',
  }
  const text = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Error\r\n\r\n'
  for (const [what, interim] of Object.entries(interims)) {
    const bytes = `${interim}HTTP/1.1 201 Created\r\ncontent-length: ${text.length}\r\n\r\n${text}`
    let connections = 0
    const { origin } = await tcpServer(t, (socket) => {
      connections++
      socket.setNoDelay(true)
      socket.on('data', () => {
        // In three pieces, the second one the middle of a line.
        const cuts = [0, interim.length - 3, interim.length + 5, bytes.length]
        for (let piece = 1; piece < cuts.length; piece++) {
          setTimeout(() => socket.write(bytes.slice(cuts[piece - 1], cuts[piece])), 5 * piece)
        }
      })
    })
    const { send } = exchanges(t, origin)
    for (let i = 0; i < 2; i++) {
      const result = await send(headers, body, running)
      t.match(result, { kind: 'answered', status: 201, waitHints: undefined, response: text }, what)
    }
    t.equal(connections, 1, 'the connection is used again')
  }
})

t.test('an interim response is not an answer', async (t) => {
  const { origin } = await answering(t, 'HTTP/1.1 103 Early Hints\r\n\r\n', (socket) => socket.end())
  const result = await exchanges(t, origin).send(headers, body, running)
  t.same(result, { kind: 'failed', error: 'network: the connection ended after http 103, before the answer' })
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
  t.same(result, { kind: 'failed', error: 'timeout: no complete answer within 0.1s', timedOut: true })
  t.equal(armed(), before, 'no timer is left')
  await eventually(() => sockets[0]!.readableEnded, 'the connection is closed')
})

t.test('a complete head is the answer, and what is wrong with the body is a note', async (t) => {
  const chunked = 'transfer-encoding: chunked\r\n\r\n'
  const bodies = {
    'ends too early': ['content-length: 20\r\n\r\nok', 'end'],
    'is reset': ['content-length: 20\r\n\r\nok', 'reset'],
    'lacks its last chunk': [`${chunked}2\r\nok\r\n`, 'end'],
    'has a malformed chunk': [`${chunked}2\r\nok\r\nzz\r\n`, 'stay'],
    'has a length that is none': ['content-length: 2x\r\n\r\nok', 'stay'],
    'has two lengths': ['content-length: 2\r\ncontent-length: 3\r\n\r\nok', 'stay'],
    'does not end': ['content-length: 20\r\n\r\nok', 'stay'],
  }
  const server = (status: string, rest: string, then: string) =>
    answering(t, `HTTP/1.1 ${status}\r\nretry-after: 7\r\n${rest}`, (socket) => {
      if (then === 'end') socket.end()
      // What was written must have arrived: a reset discards what has not been read.
      if (then === 'reset') setTimeout(() => socket.resetAndDestroy(), 50)
    })
  await Promise.all(
    Object.entries(bodies).flatMap(([what, [rest, then]]) =>
      ['200 OK', '404 Not Found', '503 Busy'].map(async (status) => {
        const { origin } = await server(status, rest!, then!)
        const { send } = exchanges(t, origin, { timeoutMs: 1_000 })
        const needy = exchanges(t, origin, { needsBody: true, timeoutMs: 500 })
        for (let i = 0; i < 2; i++) {
          t.match(
            await send(headers, body, running),
            {
              kind: 'answered',
              status: Number(status.slice(0, 3)),
              waitHints: { 'retry-after': '7' },
              note: /^the body of the answer was not read to its end: (timeout|network|protocol)/,
            },
            `${status}, whose body ${what}`,
          )
        }
        const needed = status === '200 OK' ? { kind: 'failed', status: 200, error: /./ } : { kind: 'answered' }
        t.match(await needy.send(headers, body, running), needed, `${status}, and the body is needed`)
      }),
    ),
  )
})

t.test('a body that drips for longer than the deadline fails only where the body is needed', async (t) => {
  const { origin } = await rawHttpServer(t, (_, response) => {
    response.write('slow')
    const drip = setInterval(() => response.write('.'), 10)
    response.on('close', () => clearInterval(drip))
  })
  const needy = await exchanges(t, origin, { timeoutMs: 500, needsBody: true }).send(headers, body, running)
  t.match(needy, { kind: 'failed', status: 200, error: /^timeout/, response: /^slow\.*$/ })
  const result = await exchanges(t, origin, { timeoutMs: 500 }).send(headers, body, running)
  t.match(result, { kind: 'answered', status: 200, response: /^slow\.*$/, note: /: no complete answer within 0.5s$/ })
})

t.test('a server that goes on working after the head of its answer is not cut off before the deadline', async (t) => {
  let isCut = false
  const { origin } = await rawHttpServer(t, (_, response) => {
    response.on('close', () => {
      isCut = !response.writableFinished
    })
    response.flushHeaders()
    setTimeout(() => response.end('done'), 2_300)
  })
  const result = await exchanges(t, origin).send(headers, body, running)
  t.match(result, { kind: 'answered', status: 200, response: 'done' })
  t.notOk(isCut)
})

t.test('an attempt that is called off after the head of the answer counts by its status', async (t) => {
  const { origin } = await answering(t, 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok')
  const abort = new AbortController()
  const callOff = () => void setImmediate(() => abort.abort())
  subscribe('undici:request:headers', callOff)
  t.teardown(() => unsubscribe('undici:request:headers', callOff))
  const result = await exchanges(t, origin).send(headers, body, abort.signal)
  t.match(result, { kind: 'answered', status: 200, note: /: the attempt was interrupted$/ })
})

t.test('a connection on which more may come than the answer is not used again', async (t) => {
  const answers = {
    '204 with chunks': ['HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n', '0\r\n\r\n'],
    '204 with a length': ['HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n', 'hello'],
    '304 with a length': ['HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n', 'hello'],
    '205 without a length': ['HTTP/1.1 205 Reset Content\r\n\r\n', '0\r\n\r\n'],
    'chunks and a length': [
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'HTTP/1.1 500 Error\r\n\r\n',
    ],
    'a close that is not done': [
      'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
      'HTTP/1.1 500 Error\r\n\r\n',
    ],
    'more than its length': ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nmore', 'HTTP/1.1 500 Error\r\n\r\n'],
  }
  for (const [what, [now, late]] of Object.entries(answers)) {
    let requests = 0
    const { origin } = await tcpServer(t, (socket) =>
      socket.on('data', () => {
        requests++
        socket.write(now!)
        setImmediate(() => socket.write(late!))
      }),
    )
    const { send } = exchanges(t, origin, { concurrency: 4 })
    const results = await Promise.all(Array.from({ length: 60 }, () => send(headers, body, running)))
    t.same(
      results.filter((result) => result.kind !== 'answered' || result.status >= 400),
      [],
      what,
    )
    t.equal(requests, 60, `${what}: each request was sent once`)
  }
})

t.test('after stray bytes a server gets a connection for each request', async (t) => {
  let connections = 0
  const { origin } = await tcpServer(t, (socket) => {
    connections++
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      setTimeout(() => socket.write('stray'), 1)
    })
  })
  const { send } = exchanges(t, origin)
  const failures: unknown[] = []
  for (let i = 0; i < 40; i++) {
    const result = await send(headers, body, running)
    if (result.kind !== 'answered') failures.push(result)
  }
  t.ok(failures.length <= 1, JSON.stringify(failures))
  t.ok(connections >= 30, `${connections} connections`)
})

t.test('the limit of the headers is a setting, and the error names it', async (t) => {
  const { origin } = await answering(t, `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}content-length: 0\r\n\r\n`)
  const [small, large] = [64 * 1024, 256 * 1024].map((maxHeadBytes) =>
    exchanges(t, origin, { maxHeadBytes, maxHeadKey: 'targets.crm.responseHeaderLimit' }),
  )
  t.same(await small!.send(headers, body, running), {
    kind: 'failed',
    error:
      'protocol: the headers of the answer are too large, over 64 KiB; targets.crm.responseHeaderLimit sets the limit',
  })
  for (let i = 0; i < 2; i++) t.match(await large!.send(headers, body, running), { kind: 'answered', status: 200 })
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

t.test('a request counts as sent when there is a connection for it, before it is answered', async (t) => {
  const never = await tcpServer(t, () => {})
  let sent = 0
  const tls = exchanges(t, `https://${never.host}`, { timeoutMs: 50 })
  t.match(await tls.send(headers, body, running, () => sent++), { kind: 'failed' })
  t.equal(sent, 0, 'no handshake')
  const seen: number[] = []
  const { origin } = await rawHttpServer(t, (_, response) => {
    seen.push(sent)
    response.end()
  })
  const plain = exchanges(t, origin)
  await Promise.all([1, 2].map(() => plain.send(headers, body, running, () => sent++)))
  t.same(seen, [1, 2])
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
  t.match(result, { kind: 'answered', status: 200, response: `x${'é'.repeat(4095)}` })
})

t.test('an answer without an end is cut off, and its status counts', async (t) => {
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
    'after another answer': answering(t, 'HTTP/1.1 100 Continue\r\n\r\n', (socket) => socket.resetAndDestroy()),
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
    'headers without an end': answering(t, `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(400_000)}`),
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
    else if (trouble === 1) response.socket!.write('HTTP/1.1 200 never ends')
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
