import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { spanIdOf, traceIdOf } from '../../src/domain/trace-context.ts'
import { eventually } from '../eventually.ts'
import { httpServer, type Received, rawHttpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const SENT = `00-${TRACE}-${SPAN}-01`
const RECEIVE = 'POST /webhooks/ultravox'
const SERVER = 2
const CLIENT = 3
const ERROR = 2

/** A span as a collector gets it, its attributes as a plain object. */
interface CollectedSpan {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
}

type Attributes = { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]

/** What is in a request to an OTLP/HTTP collector. */
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Attributes }
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<CollectedSpan, 'attributes' | 'resource'> & { readonly attributes: Attributes })[]
    }[]
  }[]
}

const plain = (attributes: Attributes) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

function spansIn(received: readonly Received[]): CollectedSpan[] {
  const exports = received.map(({ body }) => JSON.parse(body.toString()) as Export)
  return exports
    .flatMap(({ resourceSpans }) => resourceSpans)
    .flatMap(({ resource, scopeSpans }) => {
      const spans = scopeSpans.flatMap((each) => each.spans)
      return spans.map((span) => ({
        ...span,
        attributes: plain(span.attributes),
        resource: plain(resource.attributes),
      }))
    })
}

async function running(t: Test, tracing: object, more: object = {}, answer: () => number = () => 200) {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.writeHead(answer()).end('MARK-answer'))
  const config = {
    sources,
    targets: {
      crm: { type: 'http', url: `${crm.origin}/calls?key=MARK-query`, headers: { Authorization: 'MARK-header' } },
      hook: {
        type: 'exec',
        command: ['sh', '-c', 'cat > /dev/null; echo MARK-stderr >&2; exit 65'],
        env: { A: 'MARK-env' },
      },
    },
    routes: [
      { events: ['*'], to: ['crm'] },
      { events: ['call.billed'], to: ['hook'] },
    ],
    retry: { initialDelay: '20ms', maxDelay: '50ms' },
    tracing,
    ...more,
  }
  const file = writeConfig(directory, config)
  const relay = await startRelay(t, file)
  const post = (headers: Record<string, string> = {}, body = bodyOf('call.ended', 'one')) =>
    send(`${relay.origin}/webhooks/ultravox?key=MARK-query`, body, { headers })
  return { directory, config, file, relay, crm, post, ...commandsIn(directory) }
}

t.test('a collector gets a span for each request and attempt, which fit what the targets were told', async (t) => {
  const collector = await httpServer(t, (response) => response.end('{}'))
  const tracing = { otlp: collector.origin, headers: { 'X-Key': 'of-the-collector' }, serviceName: 'relay-here' }
  let answers = 0
  const { relay, crm, post } = await running(t, tracing, {}, () => (++answers === 1 ? 503 : 200))
  await post({ traceparent: SENT, tracestate: 'a=MARK-tracestate' })
  await eventually(() => crm.received.length === 2, 'a failed attempt, and one that succeeds')
  await post({ traceparent: `00-${TRACE}-${'c'.repeat(16)}-01` })
  await relay.end('SIGTERM')

  t.same(new Set(collector.received.map(({ url }) => url)), new Set(['/v1/traces']))
  t.same(new Set(collector.received.map(({ headers }) => headers['x-key'])), new Set(['of-the-collector']))
  const spans = spansIn(collector.received)
  t.equal(spans.length, 4)
  t.ok(spans.every(({ traceId }) => traceId === TRACE))
  t.match(spans[0]!.resource, { 'service.name': 'relay-here', 'service.version': /^\d/ })

  const eventId = crm.received[0]!.headers['webhook-id'] as string
  const about = {
    'ultravox_relay.source': 'ultravox',
    'ultravox_relay.event': 'call.ended',
    'ultravox_relay.event_id': eventId,
    'ultravox_relay.call_id': 'one',
  }
  const [received, duplicate] = ['', 'c'].map((of) =>
    spans.find(({ name, parentSpanId }) => name === RECEIVE && parentSpanId === (of ? of.repeat(16) : SPAN)),
  )
  t.match(received, {
    kind: SERVER,
    status: { code: 0 },
    attributes: {
      'http.request.method': 'POST',
      'http.response.status_code': 204,
      'http.route': '/webhooks/ultravox',
      'url.path': '/webhooks/ultravox',
      'url.scheme': 'http',
      'server.address': '127.0.0.1',
      'server.port': /^\d+$/,
      'client.address': '127.0.0.1',
      'ultravox_relay.duplicate': false,
      ...about,
    },
  })
  t.match(duplicate, { attributes: { 'ultravox_relay.duplicate': true, 'ultravox_relay.event_id': eventId } })

  const attempts = crm.received.map(({ headers }) =>
    spans.find(({ spanId }) => spanId === spanIdOf(headers.traceparent as string)),
  )
  const deliver = { name: 'POST', kind: CLIENT, parentSpanId: received!.spanId }
  t.match(attempts, [
    {
      ...deliver,
      status: { code: ERROR, message: 'http 503' },
      attributes: {
        ...about,
        'http.request.method': 'POST',
        'url.full': `${crm.origin}/[secret]`,
        'server.address': '127.0.0.1',
        'server.port': /^\d+$/,
        'ultravox_relay.queue_time_ms': /^\d+$/,
        'ultravox_relay.target': 'crm',
        'ultravox_relay.attempt': 1,
        'ultravox_relay.outcome': 'failed',
        'http.response.status_code': 503,
        'error.type': '503',
      },
    },
    {
      ...deliver,
      status: { code: 0 },
      attributes: {
        'ultravox_relay.attempt': 2,
        'http.request.resend_count': 1,
        'ultravox_relay.outcome': 'delivered',
      },
    },
  ])
  for (const span of spans) t.ok(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano))
  const now = Date.now()
  t.ok(Math.abs(Number(BigInt(received!.startTimeUnixNano) / 1_000_000n) - now) < 60_000, 'in nanoseconds since 1970')
})

t.test('what begins at the relay is whole too, and nothing in it is anybody’s secret', async (t) => {
  const collector = await httpServer(t, (response) => response.end('{}'))
  const more = {
    routes: [
      { events: ['*', 'relay.*'], to: ['crm'] },
      { events: ['call.billed'], to: ['hook'] },
    ],
  }
  const { relay, crm, post } = await running(t, { otlp: `${collector.origin}/v1/traces` }, more)
  await post({}, bodyOf('call.billed', 'two'))
  await eventually(() => crm.received.some(({ url, body }) => url && body.includes('relay.delivery.dead')), 'an alert')
  await relay.end('SIGTERM')
  const text = collector.received.map(({ body }) => body.toString()).join('\n')
  t.notMatch(text, /MARK-/)
  t.notMatch(text, /whsec/)
  const spans = spansIn(collector.received)
  const named = (name: string) => spans.filter((span) => span.name === name)
  t.match(named('record'), [
    { attributes: { 'ultravox_relay.event': 'relay.delivery.dead', 'ultravox_relay.origin': 'relay' } },
  ])
  t.same(named(RECEIVE).length, 1)
  for (const root of [...named('record'), ...named(RECEIVE)]) t.notOk(root.parentSpanId)
  const attempts = [...named('POST'), ...named('deliver')]
  t.equal(attempts.length, 3)
  for (const { traceId, parentSpanId } of attempts) {
    t.ok(
      spans.some((each) => each.spanId === parentSpanId && each.traceId === traceId),
      'its parent is there',
    )
  }
  t.match(
    named('deliver').find(({ attributes }) => attributes['ultravox_relay.target'] === 'hook'),
    {
      status: { code: ERROR, message: /^exit 65/ },
      attributes: { 'process.exit.code': 65, 'error.type': '65', 'ultravox_relay.outcome': 'refused' },
    },
  )
  for (const { headers } of crm.received) t.equal((headers.traceparent as string).slice(-3), '-01', 'sampled')
})

t.test('a trace that its sender has not sampled is passed on and not exported, nor one beyond the share', async (t) => {
  const collector = await httpServer(t, (response) => response.end('{}'))
  const { relay, crm, post } = await running(t, { otlp: collector.origin, sampleRatio: 0 })
  await post({ traceparent: `00-${TRACE}-${SPAN}-00` }, bodyOf('call.ended', 'unsampled'))
  await post({}, bodyOf('call.ended', 'begun'))
  await eventually(() => crm.received.length === 2, 'delivered')
  await post({ traceparent: `00-${'d'.repeat(32)}-${SPAN}-01` }, bodyOf('call.ended', 'sampled'))
  await eventually(() => crm.received.length === 3, 'delivered')
  await relay.end('SIGTERM')
  t.same(
    crm.received.map(({ headers }) => (headers.traceparent as string).slice(-2)),
    ['00', '00', '01'],
  )
  t.same(new Set(spansIn(collector.received).map(({ traceId }) => traceId)), new Set(['d'.repeat(32)]))
})

t.test('a collector that hangs or fails holds up neither events nor the end', async (t) => {
  const hanging = await rawHttpServer(t, () => {})
  const failing = await httpServer(t, (response) => response.writeHead(500).end('no'))
  for (const [kind, otlp] of Object.entries({ hanging: hanging.origin, failing: failing.origin })) {
    const { relay, crm, post } = await running(t, { otlp })
    for (let n = 0; n < 20; n++) t.equal((await post({}, bodyOf('call.ended', `${n}`))).status, 204)
    await eventually(() => crm.received.length === 20, 'delivered')
    if (kind === 'failing') await eventually(() => relay.log.some(({ msg }) => msg === 'spans not exported'), 'told')
    for (let n = 20; n < 40; n++) await post({}, bodyOf('call.ended', `${n}`))
    await eventually(() => crm.received.length === 40, 'and still delivered')
    t.match(await relay.end('SIGTERM'), { code: 0, stderr: /./ }, `${kind}: it ends in good order`)
    t.ok(
      relay.log.filter(({ msg }) => msg === 'spans not exported').length <= 2,
      'told once in a while, and at the end',
    )
  }
})

/** Has a process write what CommonJS modules it has loaded, which those of OpenTelemetry are, when it ends. */
const SPY = `
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
const { cache } = createRequire(import.meta.url)
process.on('exit', () => writeFileSync('loaded.json', JSON.stringify(Object.keys(cache))))
`

t.test(
  'the packages of OpenTelemetry are loaded only where spans are exported; if to nobody, that holds up nothing',
  async (t) => {
    const loaded = async (tracing: object) => {
      const directory = scratch(t)
      writeFileSync(join(directory, 'spy.mjs'), SPY)
      const targets = { sink: { type: 'exec', command: ['cat'] } }
      const file = writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: ['sink'] }], ...tracing })
      const relay = await startRelay(t, file, { NODE_OPTIONS: '--import ./spy.mjs' })
      const url = `${relay.origin}/webhooks/ultravox`
      t.equal((await send(url, bodyOf('call.ended'), { headers: { traceparent: SENT } })).status, 204)
      await eventually(() => relay.log.some(({ outcome }) => outcome === 'delivered'), 'delivered')
      t.match(await relay.end('SIGTERM'), { code: 0 })
      t.ok(relay.log.filter(({ msg }) => msg === 'spans not exported').length <= 1)
      const names = JSON.parse(readFileSync(join(directory, 'loaded.json'), 'utf8')) as string[]
      // The metrics bring the API, which does nothing by itself.
      return names.filter((name) => name.includes('/@opentelemetry/') && !name.includes('/@opentelemetry/api/'))
    }
    t.same(await loaded({}), [])
    t.ok((await loaded({ tracing: { otlp: 'http://127.0.0.1:1' } })).some((name) => name.includes('/sdk-trace/')))
  },
)

t.test('a changed tracing takes a restart, and a reload says so', async (t) => {
  const { relay, config, directory, crm, post, run } = await running(t, { otlp: 'http://127.0.0.1:1', sampleRatio: 0 })
  const collector = await httpServer(t, (response) => response.end('{}'))
  writeConfig(directory, { ...config, tracing: { otlp: collector.origin } })
  t.match(await run('reload'), { code: 0 })
  await eventually(() => relay.log.some(({ msg }) => msg === 'changes that take a restart'), 'told')
  t.match(
    relay.log.find(({ msg }) => msg === 'changes that take a restart'),
    { keys: ['tracing'] },
  )
  await post()
  await eventually(() => crm.received.length === 1, 'delivered')
  t.equal((crm.received[0]!.headers.traceparent as string).slice(-2), '00', 'as before')
  await relay.end('SIGTERM')
  t.same(collector.received, [])
  t.ok(traceIdOf(crm.received[0]!.headers.traceparent as string))
  t.match(await run('check'), { code: 0 })
})
