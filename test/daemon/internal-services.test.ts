import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer, listening } from '../local-server.ts'
import { connectProxy } from '../targets/connect-proxy.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
const KEY = 'pager-key-0123456789abcdef'

/** Keeps what it is sent, and answers with it, as some services do. */
function keeping(received: { headers: IncomingMessage['headers']; body: Buffer }[]): RequestListener {
  return async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    received.push({ headers: request.headers, body: Buffer.concat(chunks) })
    response.end(received.at(-1)!.body)
  }
}

/** Short enough for a socket. */
function directoryOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'relay-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

t.test('one event reaches a socket, a TLS service and one behind a proxy, each with what it may see', async (t) => {
  const directory = directoryOf(t)
  const [onSocket, overTls]: Parameters<typeof keeping>[0][] = [[], []]
  const socket = createServer(keeping(onSocket!))
  socket.listen(join(directory, 'api.sock'))
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  const client = { ca: SELF_SIGNED.cert, requestCert: true, rejectUnauthorized: true }
  const tls = createTlsServer({ ...SELF_SIGNED_CRM, ...client }, keeping(overTls!))
  const { port } = await listening(t, tls)
  t.teardown(() => tls.closeAllConnections())
  const pager = await httpServer(t, (response, { body }) => response.end(body))
  const proxy = await connectProxy(t, { upstream: Number(new URL(pager.origin).port) })
  for (const [name, text] of Object.entries({
    ca: SELF_SIGNED_CRM.cert,
    cert: SELF_SIGNED.cert,
    key: SELF_SIGNED.key,
  })) {
    writeFileSync(join(directory, `${name}.pem`), text)
  }

  const config = writeConfig(directory, {
    sources,
    targets: {
      recorder: { type: 'http', url: `http+unix://${encodeURIComponent(join(directory, 'api.sock'))}/calls` },
      crm: {
        type: 'http',
        url: `https://127.0.0.1:${port}/`,
        tls: { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem', servername: 'crm.internal' },
        redact: ['call.systemPrompt', 'call.callbacks'],
        sign: { scheme: 'ultravox', secrets: ['inner-secret'] },
      },
      trusting: { type: 'http', url: 'https://127.0.0.1:1/', tls: { insecure: true } },
      pager: {
        type: 'http',
        url: 'http://pager.example/enqueue',
        proxy: `http://me:sesame-sesame@${proxy.host}`,
        body: { routing_key: KEY, id: '{{event.id}}', call: '{{call.callId}}' },
      },
    },
    routes: [
      { events: ['*'], to: ['recorder', 'crm', 'pager'] },
      { events: ['never'], to: ['trusting'] },
    ],
  })
  const relay = await startRelay(t, config)
  const warned = () => /targets\.trusting\.tls\.insecure: takes any certificate/.test(relay.stderr())
  await eventually(warned, 'a server whose certificate is not looked at is warned about')
  const body = bodyOf('call.ended', 'call-1')
  t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  const delivered = () => relay.log.filter(({ outcome }) => outcome === 'delivered').length === 3
  await eventually(delivered, 'three deliveries')

  t.ok(onSocket![0]!.body.equals(body), 'byte for byte where nothing is asked for')
  const { headers, body: redacted } = overTls![0]!
  const { call, ...rest } = JSON.parse(body.toString())
  const { systemPrompt: prompt, callbacks: _, ...visible } = call
  t.ok(prompt, 'there was something to take out')
  t.strictSame(JSON.parse(redacted.toString()), { ...rest, call: visible })
  const signedAt = Date.parse(`${headers['x-ultravox-webhook-timestamp']}Z`)
  const signature = ultravoxHeaders([ultravoxKey(new Secret('inner-secret'))], redacted, signedAt)
  t.ok(signature.includes(headers['x-ultravox-webhook-signature'] as string), 'signed as sent')
  t.match(JSON.parse(pager.received[0]!.body.toString()), { routing_key: KEY, id: /^evt_/, call: 'call-1' })
  t.equal(proxy.asked[0]?.authority, 'pager.example:80')

  const outbox = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.teardown(() => outbox.close())
  const answers = outbox.prepare("select response from attempt_log where target = 'pager'").all()
  t.match(
    answers,
    [{ response: /"routing_key":"\[secret\]"/ }],
    'a key in the body is not kept, even where it comes back',
  )
  t.notMatch(JSON.stringify(relay.log) + relay.stderr(), /sesame|pager-key/)
})
