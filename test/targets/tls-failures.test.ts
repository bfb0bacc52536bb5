import { createServer, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpExchanges } from '../../src/targets/http-exchange.ts'
import { listening, tcpServer } from '../local-server.ts'
import { connectProxy } from './connect-proxy.ts'
import { running } from './sample-delivery.ts'
import { SELF_SIGNED } from './self-signed.ts'
import { EXPIRED, FOR_CLIENTS_ONLY, NOT_YET_VALID, SOUND, TRIAL_AUTHORITY, TRIAL_KEY } from './trial-certificates.ts'

const TRUSTED = { ca: new Secret(TRIAL_AUTHORITY), cert: null, key: null, servername: null, insecure: false }
const TIMEOUT_MS = 20_000

async function post(t: Test, url: string, tls: Partial<typeof TRUSTED> | null, timeoutMs = TIMEOUT_MS) {
  const way = tls === null ? {} : { tls: { ...TRUSTED, ...tls } }
  const exchanges = createHttpExchanges({ url: new URL(url), method: 'POST', timeoutMs, concurrency: 1, ...way })
  t.teardown(() => exchanges.close())
  return exchanges.send([], Buffer.from('{}'), running)
}

async function tlsServer(t: Test, options: ServerOptions) {
  let requests = 0
  const server = createServer({ key: TRIAL_KEY, cert: SOUND, ...options }, (_, response) => {
    requests++
    response.end()
  })
  server.on('tlsClientError', () => {})
  t.teardown(() => server.closeAllConnections())
  const { port } = await listening(t, server)
  return { port, requests: () => requests }
}

t.test('a server with a sound certificate is spoken to', async (t) => {
  const { port } = await tlsServer(t, {})
  t.match(await post(t, `https://localhost:${port}`, {}), { kind: 'answered', status: 200 })
})

t.test('what is wrong with a server’s TLS is told, and nothing is sent to it', async (t) => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const troubles: [string, ServerOptions, Partial<typeof TRUSTED> | null, string][] = [
    ['expired', { cert: EXPIRED }, {}, 'CERT_HAS_EXPIRED'],
    ['not valid yet', { cert: NOT_YET_VALID }, {}, 'CERT_NOT_YET_VALID'],
    ['for clients only', { cert: FOR_CLIENTS_ONLY }, {}, 'INVALID_PURPOSE'],
    ['an unknown authority', {}, null, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['self-signed', SELF_SIGNED, null, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['another host', {}, { servername: 'crm.internal' } as never, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['a protocol that is too old', old, {}, 'ERR_SSL_\\S*ALERT_PROTOCOL_VERSION'],
    ['no cipher in common', { ciphers: 'NULL', maxVersion: 'TLSv1.2' }, {}, 'ERR_SSL_\\S*ALERT_HANDSHAKE_FAILURE'],
    ['a client certificate that we have not', { requestCert: true, rejectUnauthorized: true }, {}, ''],
  ]
  for (const [what, options, tls, code] of troubles) {
    const { port, requests } = await tlsServer(t, options)
    const result = await post(t, `https://localhost:${port}`, tls)
    // What TLS itself calls them has changed with OpenSSL.
    const told = code === '' ? /^(tls|network): / : new RegExp(`^tls: ${code} localhost:${port}$`)
    t.match(result, { kind: 'failed', error: told }, what)
    t.equal(requests(), 0, what)
  }
})

t.test('the alert of a server that wants a client certificate is the error, whatever the version of TLS', async (t) => {
  for (const [maxVersion, code] of [
    ['TLSv1.2', 'ALERT_HANDSHAKE_FAILURE'],
    ['TLSv1.3', 'ALERT_CERTIFICATE_REQUIRED'],
  ] as const) {
    const { port, requests } = await tlsServer(t, { requestCert: true, rejectUnauthorized: true, maxVersion })
    const proxy = await connectProxy(t, { upstream: port })
    const error = new RegExp(`^tls: ERR_SSL_\\S*${code} localhost:${port}$`)
    t.match(await post(t, `https://localhost:${port}`, {}), { kind: 'failed', error })
    const way = {
      url: new URL(`https://localhost:${port}`),
      method: 'POST',
      timeoutMs: TIMEOUT_MS,
      concurrency: 1,
    } as const
    const proxied = createHttpExchanges({ ...way, tls: TRUSTED, proxy: new Secret(proxy.origin) })
    t.teardown(() => proxied.close())
    t.match(await proxied.send([], Buffer.from('{}'), running), { kind: 'failed', error }, 'through a proxy')
    t.equal(requests(), 0)
  }
})

t.test('a server that breaks off, stalls or babbles within the handshake is a failure in time', async (t) => {
  const hello = Buffer.from([0x16, 0x03, 0x03, 0x00, 0x40, 0x02, 0x00, 0x00, 0x3c])
  const troubles: [string, (socket: Socket) => void, RegExp][] = [
    ['resets', (socket) => socket.resetAndDestroy(), /^(network|connect|tls): ECONNRESET/],
    ['closes', (socket) => socket.end(), /^(network|tls): ECONNRESET/],
    ['stalls', () => {}, /^timeout: /],
    ['stalls in the middle', (socket) => socket.write(hello), /^timeout: /],
    ['babbles', (socket) => socket.write('220 mail.test ESMTP\r\n'), /^tls: ERR_SSL_\w+/],
    [
      'sends an alert',
      (socket) => socket.end(Buffer.from([0x15, 0x03, 0x01, 0, 2, 2, 80])),
      /^tls: ERR_SSL_TLSV1_ALERT/,
    ],
    [
      'drips one byte at a time',
      async (socket) => {
        for (const byte of hello) {
          socket.write(Buffer.from([byte]))
          await sleep(100)
        }
      },
      /^timeout: /,
    ],
  ]
  for (const [what, trouble, words] of troubles) {
    const { port } = await tcpServer(t, (socket) => socket.once('data', () => trouble(socket)))
    const timeoutMs = words.test('timeout: ') ? 300 : TIMEOUT_MS
    t.match(await post(t, `https://localhost:${port}`, {}, timeoutMs), { kind: 'failed', error: words }, what)
  }
})
