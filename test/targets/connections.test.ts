import type { LookupAddress } from 'node:dns'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { LookupFunction } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import type { TlsOptions } from '../../src/outgoing/connector.ts'
import { createHttpExchanges, type ExchangeOptions } from '../../src/targets/http-exchange.ts'
import { eventually } from '../eventually.ts'
import { listening, rawHttpServer, tcpServer } from '../local-server.ts'
import { connectProxy } from './connect-proxy.ts'
import { running } from './sample-delivery.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from './self-signed.ts'

const body = Buffer.from('{}')
const PLAIN_TLS: TlsOptions = { ca: null, cert: null, key: null, servername: null, insecure: false }

function exchanges(t: Test, url: string, options: Partial<ExchangeOptions> = {}) {
  const defaults = { url: new URL(url), method: 'POST', timeoutMs: 5_000, concurrency: 1 } as const
  const made = createHttpExchanges({ ...defaults, ...options })
  t.teardown(() => made.close())
  return made
}

const post = (t: Test, url: string, options: Partial<ExchangeOptions> = {}) =>
  exchanges(t, url, options).send([], body, running)

async function tlsServer(t: Test, options: ServerOptions, listener?: RequestListener) {
  const server = createTlsServer(options, listener ?? ((_, response) => response.end('secret')))
  t.teardown(() => server.closeAllConnections())
  server.on('tlsClientError', () => {})
  return listening(t, server)
}

const answered = { kind: 'answered', status: 200 }

t.test('a server whose authority is given is trusted, and any other is not', async (t) => {
  const { port } = await tlsServer(t, SELF_SIGNED)
  const trusting = (cert: string) => ({ tls: { ...PLAIN_TLS, ca: new Secret(cert) } })
  t.match(await post(t, `https://localhost:${port}`, trusting(SELF_SIGNED.cert)), answered)
  t.match(await post(t, `https://127.0.0.1:${port}`, trusting(SELF_SIGNED.cert)), answered)
  t.match(await post(t, `https://localhost:${port}`, trusting(SELF_SIGNED_CRM.cert)), { error: /^tls: / })
})

t.test('the name in the certificate has to be the host, or the servername where one is given', async (t) => {
  const names: (string | false | null)[] = []
  const { port } = await tlsServer(t, SELF_SIGNED_CRM, (request, response) => {
    names.push((request.socket as TLSSocket).servername as string)
    response.end(request.headers.host)
  })
  const tls = { ...PLAIN_TLS, ca: new Secret(SELF_SIGNED_CRM.cert) }
  const url = `https://localhost:${port}`
  t.match(await post(t, url, { tls }), { error: `tls: ERR_TLS_CERT_ALTNAME_INVALID localhost:${port}` })
  const named = exchanges(t, url, { tls: { ...tls, servername: 'crm.internal' } })
  t.match(await named.send([], body, running), { ...answered, response: `localhost:${port}` })
  t.same(names, ['crm.internal'], 'it is asked for by that name too')
})

t.test('a client certificate is shown to a server that asks for one', async (t) => {
  const options = { ...SELF_SIGNED, ca: SELF_SIGNED_CRM.cert, requestCert: true, rejectUnauthorized: true }
  const { port } = await tlsServer(t, options)
  const tls = { ...PLAIN_TLS, ca: new Secret(SELF_SIGNED.cert) }
  const own = { cert: new Secret(SELF_SIGNED_CRM.cert), key: new Secret(SELF_SIGNED_CRM.key) }
  t.match(await post(t, `https://localhost:${port}`, { tls: { ...tls, ...own } }), answered)
  t.match(await post(t, `https://localhost:${port}`, { tls }), { kind: 'failed' })
})

t.test('insecure takes any certificate', async (t) => {
  const { port } = await tlsServer(t, SELF_SIGNED_CRM)
  t.match(await post(t, `https://localhost:${port}`, { tls: { ...PLAIN_TLS, insecure: true } }), answered)
})

/** The names of tap's own directories are too long for a socket. */
function socketIn(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'relay-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return join(directory, 'x.sock')
}

t.test('a unix socket is connected to in place of the host, which stays the name in the request', async (t) => {
  const socketPath = socketIn(t)
  const server = createHttpServer((request, response) => response.end(`${request.headers.host} ${request.url}`))
  server.listen(socketPath)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const result = await post(t, 'http://crm.internal/hooks?a=1', { socketPath })
  t.match(result, { ...answered, response: 'crm.internal /hooks?a=1' })
})

t.test('a unix socket that is not there is named', async (t) => {
  const socketPath = socketIn(t)
  t.same(await post(t, 'http://localhost/', { socketPath }), { kind: 'failed', error: `connect: ENOENT ${socketPath}` })
})

/** Resolves every name to these addresses; a list of lists gives each look-up its own. */
function resolvingTo(...answers: string[][]): { lookup: LookupFunction; asked: string[] } {
  const asked: string[] = []
  const lookup: LookupFunction = (hostname, options, callback) => {
    const addresses = answers[Math.min(asked.length, answers.length - 1)]!
    asked.push(hostname)
    const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }))
    if (options.all) callback(null, found)
    else callback(null, found[0]!.address, found[0]!.family)
  }
  return { lookup, asked }
}

t.test('link-local and metadata addresses are not connected to, however they are written', async (t) => {
  const hosts = {
    '169.254.169.254': '169.254.169.254 is a link-local address',
    '2852039166': '169.254.169.254 is a link-local address',
    '0xa9.0376.1': '169.254.0.1 is a link-local address',
    '100.100.100.200': '100.100.100.200 is the address of a cloud metadata service',
    '[fe80::1]': 'fe80::1 is a link-local address',
    '[fd00:ec2::254]': 'fd00:ec2::254 is the address of a cloud metadata service',
    '[::ffff:169.254.1.2]': '::ffff:a9fe:102 is a link-local address',
    '[::ffff:6464:64c8]': '::ffff:6464:64c8 is the address of a cloud metadata service',
    '169.254.169.254.': '169.254.169.254 is a link-local address',
    '0251.0376.0251.0376': '169.254.169.254 is a link-local address',
    '%31%36%39.254.169.254': '169.254.169.254 is a link-local address',
    '１６９.254。169.254': '169.254.169.254 is a link-local address',
    '0xA83F8110': '168.63.129.16 is the address of a cloud metadata service',
    '[::ffff:0:a9fe:a9fe]': '::ffff:0:a9fe:a9fe is a link-local address',
    '[64:ff9b:1::169.254.169.254]': '64:ff9b:1::a9fe:a9fe is a link-local address',
    'Metadata.Google.Internal.': 'metadata.google.internal. is the address of a cloud metadata service',
  }
  for (const [host, words] of Object.entries(hosts)) {
    const result = await post(t, `http://${host}/`)
    t.same(result, { kind: 'failed', error: `connect: ${words}; set allowLinkLocal: true if it is meant` }, host)
  }
})

t.test('a name that resolves to such an address is not connected to', async (t) => {
  for (const address of [
    '169.254.169.254',
    '::ffff:169.254.169.254',
    'fe80::1%lo',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '::ffff:0:a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
  ]) {
    const { lookup } = resolvingTo([address])
    const result = await post(t, 'http://crm.internal/', { lookup })
    t.match(
      result,
      { kind: 'failed', error: /^connect: .* \(crm\.internal\) is .*; set allowLinkLocal: true/ },
      address,
    )
  }
})

t.test('a name is looked at each time it is resolved, so changing it later is of no use', async (t) => {
  const { port } = await rawHttpServer(t, (_, response) => response.setHeader('connection', 'close').end())
  const { lookup, asked } = resolvingTo(['127.0.0.1'], ['169.254.169.254'])
  const { send } = exchanges(t, `http://crm.internal:${port}/`, { lookup })
  t.match(await send([], body, running), answered)
  t.match(await send([], body, running), { kind: 'failed', error: /^connect: 169\.254\.169\.254 \(crm\.internal\)/ })
  t.same(asked, ['crm.internal', 'crm.internal'])
})

t.test('of several addresses only the others are tried', async (t) => {
  const { port } = await rawHttpServer(t, (_, response) => response.end())
  const { lookup } = resolvingTo(['fe80::1', '169.254.1.1', '127.0.0.1'])
  t.match(await post(t, `http://crm.internal:${port}/`, { lookup }), answered)
})

t.test('where every address is forbidden, no other form of one is tried instead', async (t) => {
  const { lookup, asked } = resolvingTo(['169.254.169.254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe'])
  t.match(await post(t, 'http://crm.internal/', { lookup }), { kind: 'failed', error: /^connect: 169\.254\.169\.254 / })
  t.equal(asked.length, 1)
})

t.test('where no setting allows such an address, the error does not advise one', async (t) => {
  const { lookup } = resolvingTo(['169.254.169.254'])
  t.same(await post(t, 'http://hooks.slack.test/', { lookup, allowLinkLocal: 'never' }), {
    kind: 'failed',
    error: 'connect: 169.254.169.254 (hooks.slack.test) is a link-local address',
  })
})

t.test('a proxy at such an address, or whose name resolves to one, is not connected to', async (t) => {
  const through = (proxy: string, lookup?: LookupFunction) =>
    post(t, 'https://crm.internal/', { proxy: new Secret(proxy), ...(lookup && { lookup }) })
  t.same(await through('http://169.254.169.254:3128'), {
    kind: 'failed',
    error: 'proxy: connect: 169.254.169.254 is a link-local address',
  })
  const { lookup } = resolvingTo(['::ffff:0:a9fe:a9fe'])
  t.same(await through('http://proxy.internal:3128', lookup), {
    kind: 'failed',
    error: 'proxy: connect: ::ffff:0:a9fe:a9fe (proxy.internal) is a link-local address',
  })
})

t.test('TLS connections are looked after in the same way', async (t) => {
  const { lookup } = resolvingTo(['169.254.169.254'])
  t.match(await post(t, 'https://crm.internal/', { lookup }), { error: /^connect: .* is a link-local address/ })
  t.match(await post(t, 'https://169.254.169.254/'), { error: /^connect: .* is a link-local address/ })
})

t.test('an https target is reached through the proxy, which sees its name and nothing else', async (t) => {
  const { port } = await tlsServer(t, SELF_SIGNED_CRM, (request, response) => response.end(request.headers['x-key']))
  const proxy = await connectProxy(t, { upstream: port })
  const options = {
    tls: { ...PLAIN_TLS, ca: new Secret(SELF_SIGNED_CRM.cert) },
    proxy: new Secret(`http://me:p%40ss@${proxy.host}`),
  }
  const { send } = exchanges(t, 'https://crm.internal/', options)
  for (let i = 0; i < 3; i++) t.match(await send(['x-key', 'k'], body, running), { ...answered, response: 'k' })
  t.equal(proxy.asked.length, 1, 'the tunnel is used again')
  t.equal(proxy.asked[0]!.authority, 'crm.internal:443')
  t.equal(proxy.asked[0]!.headers['proxy-authorization'], `Basic ${Buffer.from('me:p@ss').toString('base64')}`)
  t.notOk('x-key' in proxy.asked[0]!.headers)
})

t.test('a server behind a proxy is verified like any other', async (t) => {
  const { port } = await tlsServer(t, SELF_SIGNED_CRM)
  const proxy = await connectProxy(t, { upstream: port })
  const result = await post(t, 'https://crm.internal/', { proxy: new Secret(proxy.origin) })
  t.same(result, { kind: 'failed', error: 'tls: DEPTH_ZERO_SELF_SIGNED_CERT crm.internal' })
})

t.test('an http target is reached through a tunnel too, without credentials where there are none', async (t) => {
  const { port } = await rawHttpServer(t, (request, response) => response.end(request.url))
  const proxy = await connectProxy(t, { upstream: port })
  const result = await post(t, 'http://169.254.1.1/x', { proxy: new Secret(proxy.origin) })
  t.match(result, { ...answered, response: '/x' })
  t.equal(proxy.asked[0]!.authority, '169.254.1.1:80')
  t.notOk('proxy-authorization' in proxy.asked[0]!.headers)
})

t.test("interim responses before a proxy's answer are skipped", async (t) => {
  const { port } = await rawHttpServer(t, (_, response) => response.end('x'))
  const interim = 'HTTP/1.1 100 Continue\r\n\r\n'
  for (const before of [interim, `${interim}HTTP/1.1 102 Processing\r\nx: y\r\n\r\n`]) {
    const proxy = await connectProxy(t, { upstream: port, before })
    t.match(await post(t, 'http://crm.internal/', { proxy: new Secret(proxy.origin) }), answered)
  }
  const proxy = await connectProxy(t, { status: 407, before: interim })
  const result = await post(t, 'http://crm.internal/', { proxy: new Secret(proxy.origin) })
  t.match(result, { kind: 'failed', error: new RegExp(`^proxy: http 407 ${proxy.host}: `) })
})

t.test('a large body and answer pass through a tunnel whole', async (t) => {
  const { port } = await rawHttpServer(t, (request, response) => request.pipe(response))
  const proxy = await connectProxy(t, { upstream: port })
  const large = Buffer.alloc(900_000, 'x')
  const { send } = exchanges(t, 'http://crm.internal/', { proxy: new Secret(proxy.origin) })
  t.match(await send([], large, running), { ...answered, response: 'x'.repeat(8192) })
})

t.test('a proxy that refuses is a failure with its status, whatever that is', async (t) => {
  for (const status of [302, 403, 407, 502]) {
    const proxy = await connectProxy(t, { status })
    const result = await post(t, 'https://crm.internal/', { proxy: new Secret(`http://me:sesame@${proxy.host}`) })
    t.match(result, { kind: 'failed', error: `proxy: http ${status} ${proxy.host}: ` })
  }
})

t.test('what a proxy says of its rejection is shown, with what to check and without the credentials', async (t) => {
  const squid = `<!DOCTYPE html><html><head><title>ERROR: Access Denied</title><style>${'a{}'.repeat(700)}</style></head><body><h1>No</h1></body></html>`
  const page = (status: string, headers: string, body: string) =>
    `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const chunked = 'HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
  const cases: [answer: string, credentials: string, error: RegExp][] = [
    [
      page('403 Forbidden', 'X-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Type: text/html\r\n', squid),
      'me:sesame@',
      /: its rules do not allow a connection to crm\.internal:443 \(ERR_ACCESS_DENIED 0: ERROR: Access Denied No\)$/,
    ],
    [
      page('407 Nope', 'Proxy-Authenticate: Basic realm="r"\r\n', ''),
      '',
      /: it asks for a user and a password: write them into the URL of "proxy", .* \(Nope\)$/,
    ],
    [
      page('407 Proxy Authentication Required', '', 'bad me:sesame, bWU6c2VzYW1l, %3Cmore\u001b[31m'),
      'me:sesame@',
      /: it does not accept the user and password in the URL of "proxy" \(bad \S+, \S+, %3Cmore \[31m\)$/,
    ],
    [
      page('407 Proxy Authentication Required', 'Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n', ''),
      'me:sesame@',
      /: it asks for Negotiate or NTLM, and the relay can only do Basic$/,
    ],
    [page('401 Unauthorized', '', ''), '', /: it asks for a user and a password: /],
    [`${chunked}4\r\nlock\r\n3\r\ned \r\n0\r\n\r\n`, 'me:x@', /"proxy" \(locked\)$/],
    [
      page('502 Bad Gateway', 'Proxy-Status: proxy; error=dns_error\r\n', ''),
      '',
      /: it cannot connect to crm\.internal:443 \(proxy; error=dns_error\)$/,
    ],
    [page('405 Method Not Allowed', '', ''), '', /: it does not support CONNECT$/],
    ['HTTP/1.0 418 Teapot\r\n\r\nshort and stout', '', /http 418 \S+: short and stout$/],
    [`HTTP/1.1 418 x\r\n\r\n${'y'.repeat(100_000)}`, '', /: y{200}$/],
    ['HTTP/1.1 200 OK\r\n\r\nearly', '', /it sent data before it was asked for any$/],
  ]
  for (const [answer, credentials, error] of cases) {
    const proxy = await tcpServer(t, (socket) => socket.once('data', () => socket.end(answer)))
    const result = await post(t, 'https://crm.internal/', { proxy: new Secret(`http://${credentials}${proxy.host}`) })
    t.match(result, { kind: 'failed', error })
    t.notMatch(JSON.stringify(result), /sesame|bWU6c2VzYW1l/)
  }
  const { host } = await tcpServer(t, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 403 No\r\n\r\nwait')),
  )
  const open = await post(t, 'https://crm.internal/', { proxy: new Secret(`http://${host}`) })
  t.match(open, { kind: 'failed', error: /its rules do not allow .* \(wait\)$/ }, 'a connection that stays open')
})

t.test('a proxy that cannot be reached, hangs up or speaks no HTTP is a failure that names it', async (t) => {
  const gone = await tcpServer(t, () => {})
  gone.server.close()
  const through = (host: string) => post(t, 'https://crm.internal/', { proxy: new Secret(`http://me:sesame@${host}`) })
  t.same(await through(gone.host), { kind: 'failed', error: `proxy: connect: ECONNREFUSED ${gone.host}` })
  const silent = await tcpServer(t, (socket) => socket.once('data', () => socket.end()))
  t.match(await through(silent.host), { kind: 'failed', error: /^proxy: network: E\w+ 127\.0\.0\.1/ })
  const garbage = await tcpServer(t, (socket) => socket.once('data', () => socket.end('SSH-2.0\r\n')))
  t.match(await through(garbage.host), { kind: 'failed', error: /^proxy: protocol: HPE_/ })
  t.match(await through('proxy.invalid'), { kind: 'failed', error: /^proxy: dns: E\w+ proxy\.invalid$/ })
})

t.test('a proxy that never answers runs into the deadline, and gives its place to the next', async (t) => {
  let closed = 0
  let connections = 0
  const { host } = await tcpServer(t, (socket) => {
    connections++
    socket.resume().on('close', () => closed++)
  })
  const { send } = exchanges(t, 'https://crm.internal/', { proxy: new Secret(`http://${host}`), timeoutMs: 100 })
  for (let i = 0; i < 2; i++) {
    t.match(await send([], body, running), { error: `timeout: proxy: ${host} does not answer CONNECT` })
  }
  await eventually(() => connections === 2 && closed === 2, 'both connections are closed')
})

t.test('a handshake behind a proxy that never ends runs into the deadline, and all of it is closed', async (t) => {
  let closed = 0
  const { port } = await tcpServer(t, (socket) => void socket.resume().on('close', () => closed++))
  const proxy = await connectProxy(t, { upstream: port })
  const { send } = exchanges(t, 'https://crm.internal/', { proxy: new Secret(proxy.origin), timeoutMs: 100 })
  for (let i = 0; i < 2; i++) {
    t.match(await send([], body, running), { error: 'timeout: no complete answer within 0.1s' })
  }
  await eventually(() => closed === 2, 'both tunnels are closed')
})

t.test('closing ends a tunnel that is still being made', async (t) => {
  let closed = false
  const { server, host } = await tcpServer(t, (socket) => {
    socket.resume().on('close', () => {
      closed = true
    })
  })
  const made = exchanges(t, 'https://crm.internal/', { proxy: new Secret(`http://${host}`), timeoutMs: 60_000 })
  const abort = new AbortController()
  const result = made.send([], body, abort.signal)
  await once(server, 'connection')
  abort.abort()
  t.same(await result, { kind: 'interrupted' })
  await made.close()
  await eventually(() => closed, 'the connection is closed')
})
