import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { CallAttachments } from '../../src/ultravox/attachments.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { connectProxy } from '../targets/connect-proxy.ts'
import { SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { API_KEY } from './fake-api.ts'
import { trialClient } from './trial-client.ts'

const FILE = { transcript: false, recording: 'file' } as const
const running = new AbortController().signal
const tls = (ca: string | null) => ({
  ca: ca === null ? null : new Secret(ca),
  cert: null,
  key: null,
  servername: null,
  insecure: false,
})

/** An API and a storage that are reached through a proxy alone, with a certificate of an authority of their own. */
async function behindProxy(t: Test) {
  const requests: IncomingMessage[] = []
  const server = createServer(SELF_SIGNED_CRM, (request, response) => {
    requests.push(request)
    if (request.headers.host === 'crm.internal:8443') {
      response.writeHead(200, { 'content-type': 'audio/wav' }).end('sound')
    } else if (request.url!.endsWith('/recording')) {
      response.writeHead(302, { location: 'https://crm.internal:8443/a.wav' }).end()
    } else response.end('{"results":[],"next":null}')
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy = await connectProxy(t, { upstream: (server.address() as AddressInfo).port })
  return { requests, proxy, baseUrl: 'https://crm.internal' }
}

t.test('the API is reached through a proxy, and its certificate is verified by the authority given', async (t) => {
  const { requests, proxy, baseUrl } = await behindProxy(t)
  const through = { proxy: new Secret(`http://me:sesame@${proxy.host}`) }
  const { client } = trialClient(t, baseUrl, { ...through, tls: tls(SELF_SIGNED_CRM.cert) })
  t.same(await client.listWebhooks(), [])
  t.match(proxy.asked, [{ authority: 'crm.internal:443', headers: { 'proxy-authorization': /^Basic / } }])
  t.notOk('x-api-key' in proxy.asked[0]!.headers)
  t.equal(requests[0]!.headers['x-api-key'], API_KEY)

  const { client: distrustful } = trialClient(t, baseUrl, { ...through, tls: null })
  await t.rejects(distrustful.listWebhooks(), { message: /tls: DEPTH_ZERO_SELF_SIGNED_CERT crm\.internal/ })
  t.equal(requests.length, 1)
})

t.test('a proxy that rejects is named without its password, and a request that creates is sent again', async (t) => {
  const proxy = await connectProxy(t, { status: 407 })
  const { client } = trialClient(t, 'https://crm.internal', { proxy: new Secret(`http://me:sesame@${proxy.host}`) })
  const message = `POST /api/webhooks: proxy: http 407 ${proxy.host}: it does not accept the user and password in the URL of "proxy" (No); tried 6 times`
  await t.rejects(client.createWebhook({ url: 'https://relay.test/', events: [] }), { message })
  t.equal(proxy.asked.length, 6)
})

t.test('recordings are fetched the same way, at other hosts by the well-known authorities too', async (t) => {
  const { requests, proxy, baseUrl } = await behindProxy(t)
  const directory = scratch(t)
  const store = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  const attachments = new CallAttachments({
    store,
    directory: join(directory, 'recordings'),
    assertRoom: async () => {},
    clock: { now: () => Date.now() },
    random: () => 0.5,
    log: { callGone() {}, waitEnded() {}, notRemoved: (error) => t.fail(error) },
  })
  t.teardown(async () => {
    await attachments.close()
    await store.close()
  })
  const account = {
    account: 'default',
    apiKey: new Secret(API_KEY),
    baseUrl,
    proxy: new Secret(proxy.origin),
    tls: tls(SELF_SIGNED_CRM.cert),
    enrich: { maxTranscriptBytes: 1_000, maxRecordingBytes: 1_000, timeoutMs: 5_000 },
  }
  attachments.prepare([account], () => 'default')()
  const event = newEvent({ callId: 'a' })
  await store.record(event, to('crm'))
  const attached = await attachments.fetch(event, FILE, running)
  if (attached.kind !== 'attached' || !attached.recording || !('path' in attached.recording)) {
    return t.fail(JSON.stringify(attached))
  }
  t.equal(readFileSync(attached.recording.path, 'utf8'), 'sound')
  t.same(
    proxy.asked.map(({ authority }) => authority),
    ['crm.internal:443', 'crm.internal:8443'],
  )
  t.same(
    requests.map(({ headers }) => headers['x-api-key']),
    [API_KEY, undefined],
  )
})

t.test('an API whose name leads to a metadata service is not connected to', async (t) => {
  const { client } = trialClient(t, 'http://169.254.169.254')
  await t.rejects(client.listWebhooks(), { message: /: connect: 169\.254\.169\.254 is a link-local address; tried/ })
  const { client: named } = trialClient(t, 'http://api.test', {
    lookup: (_, options, callback) => {
      if (options.all) callback(null, [{ address: '64:ff9b:1::a9fe:a9fe', family: 6 }])
      else callback(null, '64:ff9b:1::a9fe:a9fe', 6)
    },
  })
  await t.rejects(named.listWebhooks(), { message: /: connect: 64:ff9b:1::a9fe:a9fe \(api\.test\) is a link-local/ })
})
