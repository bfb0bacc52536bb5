import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/domain/outcome.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpTarget, type HttpTargetOptions } from '../../src/targets/http.ts'
import { VERSION } from '../../src/version.ts'
import { httpServer } from '../local-server.ts'
import { clock, NOW, running, sampleDelivery } from './sample-delivery.ts'

function target(t: Test, url: string, options: Partial<HttpTargetOptions> = {}) {
  const defaults = { name: 'crm', method: 'POST', headers: {}, timeoutMs: 5_000, sign: null, concurrency: 2 } as const
  const made = createHttpTarget({ ...defaults, retryOn: [], ...options, url: new Secret(url) }, clock)
  t.teardown(() => made.close())
  return made
}

const ok = (response: { end(text?: string): void }) => response.end('thanks')

t.test('the body arrives byte for byte, also where it is no UTF-8', async (t) => {
  const body = Buffer.from([0x7b, 0xff, 0x00, 0xfe, 0x0d, 0x0a, 0x7d])
  const { origin, received } = await httpServer(t, ok)
  const outcome = await target(t, origin).send(sampleDelivery({ body }), running)
  t.same(outcome, { kind: 'delivered', status: 200, response: 'thanks' })
  t.ok(received[0]?.body.equals(body))
  t.equal(received[0]?.headers['content-length'], '7')
})

t.test('an empty body and a view into a larger buffer arrive as they are', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  const http = target(t, origin)
  await http.send(sampleDelivery({ body: new Uint8Array(0) }), running)
  await http.send(sampleDelivery({ body: new Uint8Array(Buffer.from('--{}--')).subarray(2, 4) }), running)
  t.same(
    received.map(({ body }) => body.toString()),
    ['', '{}'],
  )
  t.equal(received[0]?.headers['content-length'], '0')
})

t.test('a large body arrives whole', async (t) => {
  const body = Buffer.alloc(5 * 1024 * 1024, 'x')
  const { origin, received } = await httpServer(t, ok)
  t.match(await target(t, origin).send(sampleDelivery({ body }), running), { kind: 'delivered' })
  t.ok(received[0]?.body.equals(body))
})

t.test('method, path and query are the configured ones', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  await target(t, `${origin}/hooks/calls?key=1`, { method: 'PUT' }).send(sampleDelivery(), running)
  t.match(received[0], { method: 'PUT', url: '/hooks/calls?key=1' })
})

t.test('every delivery says what it is', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  await target(t, origin).send(sampleDelivery({}, { attempts: 2 }), running)
  t.match(received[0]?.headers, {
    'content-type': 'application/json',
    'user-agent': `ultravox-relay/${VERSION}`,
    'webhook-id': '0190b3c4-7a5e-7cc1-9f7e-3b1f5d2a8e11',
    'x-relay-event': 'call.ended',
    'x-relay-call-id': '3c90c3cc-0d44-4b50-8888-8dd25736052a',
    'x-relay-source': 'ultravox',
    'x-relay-target': 'crm',
    'x-relay-attempt': '3',
  })
})

t.test('a delivery names the relays through which it has passed', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  await target(t, origin).send(sampleDelivery({ via: '0123456789abcdef a1b2c3d4e5f60718' }), running)
  t.equal(received[0]?.headers['x-relay-via'], '0123456789abcdef a1b2c3d4e5f60718')
})

t.test('an event without a call or a content type has no header for them', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  await target(t, origin).send(sampleDelivery({ callId: null, contentType: null }), running)
  t.notOk('x-relay-call-id' in received[0]!.headers)
  t.notOk('content-type' in received[0]!.headers)
})

t.test('an event name with line breaks cannot add a header', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  await target(t, origin).send(sampleDelivery({ event: 'a\r\nx-evil: é', callId: '\ud800' }), running)
  t.equal(received[0]?.headers['x-relay-event'], 'a%0D%0Ax-evil:%20%C3%A9')
  t.equal(received[0]?.headers['x-relay-call-id'], '%EF%BF%BD')
  t.notOk('x-evil' in received[0]!.headers)
})

t.test('configured headers are sent, and win over content type and user agent', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  const values = { Authorization: 'Bearer t', 'Content-Type': 'text/x-call', 'User-Agent': 'mine' }
  const headers = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, new Secret(value)]))
  await target(t, origin, { headers }).send(sampleDelivery(), running)
  const names = received[0]!.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  t.match(received[0]?.headers, { authorization: 'Bearer t', 'content-type': 'text/x-call', 'user-agent': 'mine' })
  t.equal(new Set(names).size, names.length, 'no header is sent twice')
})

t.test('an ultravox signature is fresh at each attempt, while the webhook id stays', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  const time = { now: NOW }
  const secrets = [new Secret('old'), new Secret('new')]
  const options = { name: 'crm', method: 'POST', headers: {}, timeoutMs: 5_000, concurrency: 1, retryOn: [] } as const
  const http = createHttpTarget(
    { ...options, url: new Secret(origin), sign: { scheme: 'ultravox', secrets } },
    { now: () => time.now },
  )
  t.teardown(() => http.close())
  await http.send(sampleDelivery(), running)
  time.now += 5_000
  await http.send(sampleDelivery({}, { attempts: 1 }), running)
  const timestamps = received.map(({ headers }) => headers['x-ultravox-webhook-timestamp'] as string)
  t.same(timestamps, ['2026-01-15T12:00:00.123000', '2026-01-15T12:00:05.123000'])
  for (const [index, { headers, body }] of received.entries()) {
    const digest = (key: string) => createHmac('sha256', key).update(body).update(timestamps[index]!).digest('hex')
    t.equal(headers['x-ultravox-webhook-signature'], `${digest('old')},${digest('new')}`)
    t.equal(headers['webhook-id'], sampleDelivery().event.eventId)
  }
})

t.test('a standard-webhooks signature is one that the reference library accepts', async (t) => {
  const { origin, received } = await httpServer(t, ok)
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const options = { name: 'crm', method: 'POST', headers: {}, timeoutMs: 5_000, concurrency: 1, retryOn: [] } as const
  const http = createHttpTarget(
    { ...options, url: new Secret(origin), sign: { scheme: 'standard-webhooks', secrets: [new Secret(secret)] } },
    { now: () => Date.now() },
  )
  t.teardown(() => http.close())
  await http.send(sampleDelivery(), running)
  const { headers, body } = received[0]!
  t.match(new Webhook(secret).verify(body, headers as Record<string, string>), { event: 'call.ended' })
})

const byStatus = (t: Test) =>
  httpServer(t, (response, { url }) => {
    response.statusCode = Number(url.slice(1))
    response.end()
  })

/** The statuses that a cell of the table of answers names; a class stands for some of it. */
function statusesOf(cell: string): number[] {
  if (cell === '2xx') return [200, 201, 202, 204, 299]
  if (!cell.startsWith('any other')) return cell.split(', ').map(Number)
  return [300, 301, 302, 304, 307, 308, 401, 403, 404, 408, 409, 418, 425, 451, 500, 502, 503, 504, 507, 521, 599]
}

t.test('each row of the table of answers is what an HTTP target makes of it', async (t) => {
  const page = readFileSync(new URL('../../../docs/concepts/retries-and-order.md', import.meta.url), 'utf8')
  const [, section = ''] = /\n## Answers\n(.*?)\n## /s.exec(page) ?? []
  const rows = section.split('\n').flatMap((line) => {
    const [answer, outcome, ...rest] = /^\| (.*) \|$/.exec(line)?.[1]?.split(' | ') ?? []
    return rest.length === 2 && answer !== 'answer' ? [{ answer: answer!, outcome }] : []
  })
  t.equal(rows.length, 5)
  const { origin } = await byStatus(t)
  for (const { answer, outcome } of rows) {
    if (answer.startsWith('no complete answer')) continue
    for (const status of statusesOf(answer)) {
      t.equal(resultOf(await target(t, `${origin}/${status}`).send(sampleDelivery(), running)), outcome, `${status}`)
    }
  }
  t.equal(rows.at(-1)?.outcome, 'failed')
  t.equal(resultOf(await target(t, 'http://127.0.0.1:1').send(sampleDelivery(), running)), 'failed', 'no answer')
})

/** In the words of the table. */
function resultOf(outcome: Outcome): string {
  if (outcome.kind === 'refused') return 'rejected'
  return outcome.kind === 'failed' && outcome.throttled ? 'throttled' : outcome.kind
}

t.test('retryOn and rejectOn change what answers mean, a single status before its class', async (t) => {
  const { origin } = await byStatus(t)
  const rules = { retryOn: [400, '5xx'], rejectOn: ['4xx', 301, 502] } as const
  const results: [number, string][] = [
    [200, 'delivered'],
    [301, 'rejected'],
    [302, 'failed'],
    [400, 'failed'],
    [401, 'rejected'],
    [429, 'rejected'],
    [501, 'failed'],
    [502, 'rejected'],
    [503, 'failed'],
  ]
  for (const [status, result] of results) {
    t.equal(
      resultOf(await target(t, `${origin}/${status}`, rules).send(sampleDelivery(), running)),
      result,
      `${status}`,
    )
  }
  const throttled = target(t, `${origin}/429`, { retryOn: [429], rejectOn: ['4xx'] })
  t.equal(resultOf(await throttled.send(sampleDelivery(), running)), 'throttled')
})

t.test('a redirect is not followed', async (t) => {
  const { origin, received } = await httpServer(t, (response) => {
    response.writeHead(302, { location: '/elsewhere?token=secret' }).end()
  })
  const outcome = await target(t, origin).send(sampleDelivery(), running)
  t.match(outcome, { kind: 'failed', error: `http 302, a redirect to ${origin}/elsewhere?…, which is not followed` })
  t.equal(received.length, 1)
})

t.test('Retry-After is passed on, in seconds and as a date', async (t) => {
  const values = ['7', new Date(NOW + 60_000 - 123).toUTCString(), 'garbage']
  const { origin } = await httpServer(t, (response, { url }) => {
    response.writeHead(503, { 'retry-after': values[Number(url.slice(1))]! }).end()
  })
  t.match(await target(t, `${origin}/0`).send(sampleDelivery(), running), { retryAfterMs: 7_000 })
  t.match(await target(t, `${origin}/1`).send(sampleDelivery(), running), { retryAfterMs: 60_000 - 123 })
  t.notOk('retryAfterMs' in (await target(t, `${origin}/2`).send(sampleDelivery(), running)))
})

t.test('what the configuration got wrong about a header is an outcome that does not show its value', async (t) => {
  const { origin } = await httpServer(t, ok)
  const http = target(t, `${origin}/secret-path`, { headers: { authorization: new Secret('top\r\nsecret') } })
  const outcome = await http.send(sampleDelivery(), running)
  t.same(outcome, { kind: 'failed', error: 'request: UND_ERR_INVALID_ARG' })
})

t.test('a URL that is none is told without showing it', async (t) => {
  t.throws(() => target(t, 'not a url with sesame'), { message: 'the URL of target "crm" is no URL' })
})
