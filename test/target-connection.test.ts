import { createServer } from 'node:tls'
import t from 'tap'
import type { HttpTargetConfig } from '../src/config/config.ts'
import { Secret } from '../src/domain/secret.ts'
import { connectTo } from '../src/target-connection.ts'
import { listening, tcpServer } from './local-server.ts'
import { connectProxy } from './targets/connect-proxy.ts'
import { SELF_SIGNED } from './targets/self-signed.ts'

const BASIS = { type: 'http', tls: null, socketPath: null, proxy: null, allowLinkLocal: false } as const
const TLS = { ca: new Secret(SELF_SIGNED.cert), cert: null, key: null, servername: 'localhost', insecure: false }

/** As much of a target as a connection takes. */
const target = (url: string, given: Partial<HttpTargetConfig> = {}) =>
  ({ ...BASIS, url: new Secret(url), ...given }) as HttpTargetConfig

t.test('a TLS server is verified as deliveries do it, and the end of its certificate is told', async (t) => {
  let bytes = 0
  const server = createServer(SELF_SIGNED, (socket) => socket.on('error', () => {}).on('data', () => bytes++))
  const { port, host } = await listening(t, server)
  const url = `https://127.0.0.1:${port}`
  const certificate = { notBefore: Date.parse('2026-11-24T15:18:02Z'), notAfter: Date.parse('2126-10-31T15:18:02Z') }
  t.same(await connectTo('crm', target(url, { tls: TLS }), 5_000), { peer: host, certificate })
  const untrusted = await connectTo('crm', target(url), 5_000)
  t.match(untrusted, { peer: host, problem: `tls: DEPTH_ZERO_SELF_SIGNED_CERT ${host}` })
  const proxy = await connectProxy(t, { upstream: port })
  const proxied = target('https://crm.internal/', { tls: TLS, proxy: new Secret(proxy.origin) })
  t.same(await connectTo('crm', proxied, 5_000), { peer: 'crm.internal', certificate })
  t.equal(bytes, 0, 'nothing was sent')
})

t.test('a server that wants a client certificate is not said to accept the connection', async (t) => {
  const server = createServer({ ...SELF_SIGNED, requestCert: true, rejectUnauthorized: true }, (socket) =>
    socket.resume(),
  )
  server.on('tlsClientError', () => {})
  const { port, host } = await listening(t, server)
  const url = `https://127.0.0.1:${port}`
  const problem = /^tls: ERR_SSL_\S*ALERT_CERTIFICATE_REQUIRED/
  t.match(await connectTo('crm', target(url, { tls: TLS }), 5_000), { peer: host, problem })
})

t.test('one that never finishes the handshake is given up, and no connection stays', async (t) => {
  let closed = 0
  const { port, host } = await tcpServer(t, (socket) => socket.on('close', () => closed++).resume())
  const given = await connectTo('crm', target(`https://127.0.0.1:${port}`, { tls: TLS }), 50)
  t.match(given, { peer: host, problem: /ETIMEDOUT/ })
})

t.test('link-local addresses are refused as they are for deliveries', async (t) => {
  t.match(await connectTo('crm', target('http://169.254.1.1/'), 5_000), { problem: /allowLinkLocal/ })
})
