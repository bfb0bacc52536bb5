import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpTarget, type HttpTargetOptions } from '../../src/targets/http.ts'
import { httpServer } from '../local-server.ts'
import { clock, deliveryOf, NOW, running, sampleDelivery } from './sample-delivery.ts'

const secretHeaders = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, new Secret(value)]))

/** Sends one delivery with these options, and gives what came of it and what arrived. */
async function sent(t: Test, options: Partial<HttpTargetOptions>, delivery = ended) {
  const { origin, received } = await httpServer(t, (response) => response.end())
  const defaults = { name: 'crm', method: 'POST', headers: {}, timeoutMs: 5_000, sign: null, concurrency: 1 } as const
  const http = createHttpTarget({ ...defaults, retryOn: [], ...options, url: new Secret(origin) }, clock)
  t.teardown(() => http.close())
  const outcome = await http.send(delivery, running)
  return { outcome, requests: received.length, headers: received[0]?.headers, text: received[0]?.body.toString() }
}

const call = { callId: 'c-1', shortSummary: 'All "well".', n: 3, joinUrl: 'wss://secret', list: [1, { a: null }] }
const ended = deliveryOf({ event: 'call.ended', call })

t.test('redacted fields are left out, and all else is the bytes received', async (t) => {
  const json = '{"event":"call.ended", "call":{"callId":"c-1","joinUrl":"wss://x","id":12345678901234567890, "x":1.0}}'
  const delivery = sampleDelivery({ body: Buffer.from(json), contentType: 'application/json; charset=utf-8' })
  const { text, headers } = await sent(t, { redact: ['call.joinUrl', 'call.systemPrompt'] }, delivery)
  t.equal(text, json.replace('"joinUrl":"wss://x",', ''))
  t.match(headers, { 'content-type': 'application/json; charset=utf-8', 'content-length': String(text!.length) })
})

t.test('the signature is made over what is sent', async (t) => {
  const sign = { scheme: 'ultravox', secrets: [new Secret('key')] } as const
  for (const options of [{ redact: ['call.joinUrl'] }, { body: { id: '{{event.id}}' } }]) {
    const { text, headers } = await sent(t, { ...options, sign })
    const timestamp = headers!['x-ultravox-webhook-timestamp'] as string
    const expected = createHmac('sha256', 'key').update(text!).update(timestamp).digest('hex')
    t.equal(headers!['x-ultravox-webhook-signature'], expected)
  }
})

t.test('a body of its own is filled in from the event, the call and the payload', async (t) => {
  const body = {
    text: '{{call.shortSummary}}',
    id: '{{event.id}}',
    title: '{{event.name}} from {{event.source}} at {{event.receivedAt}}',
    nested: [{ same: '{{payload.call.callId}}' }, 'as it is', 7, true, null],
  }
  const { text, headers } = await sent(t, { body })
  t.strictSame(JSON.parse(text!), {
    text: 'All "well".',
    id: ended.event.eventId,
    title: `call.ended from ultravox at ${new Date(NOW - 1_500).toISOString()}`,
    nested: [{ same: 'c-1' }, 'as it is', 7, true, null],
  })
  t.equal(headers!['content-type'], 'application/json')
})

t.test('a string that is one expression becomes its value, any other becomes text', async (t) => {
  const body = {
    n: '{{call.n}}',
    text: 'n: {{call.n}}',
    list: '{{call.list}}',
    exact: '{{payload.call.list}}',
    sum: '{{ {"a": {"b": call.n + 1}} }}',
  }
  const { text } = await sent(t, { body })
  t.strictSame(JSON.parse(text!), { n: 3, text: 'n: 3', list: [1, {}], exact: [1, { a: null }], sum: { a: { b: 4 } } })
})

t.test('a member whose value is nothing is left out', async (t) => {
  const { text } = await sent(t, { body: { a: '{{call.absent}}', b: '{{call.absent}}!', c: ['{{call.absent}}'] } })
  t.equal(text, '{"b":"!","c":[null]}')
})

t.test('a list, a whole value and a plain text can be bodies too', async (t) => {
  t.equal((await sent(t, { body: ['{{event.name}}'] })).text, '["call.ended"]')
  t.strictSame(JSON.parse((await sent(t, { body: '{{payload.call}}' })).text!), call)
  const text = await sent(t, { body: 'ended: {{call.callId}}' })
  t.equal(text.text, 'ended: c-1')
  t.equal(text.headers!['content-type'], 'text/plain; charset=utf-8')
  t.equal((await sent(t, { body: '{{call.callId}}' })).text, 'c-1')
})

t.test('a text for a content type that is not JSON is sent as it is', async (t) => {
  const form = { body: 'id={{$encodeUrlComponent(call.shortSummary)}}', headers: { 'Content-Type': 'text/x-form' } }
  const { text, headers } = await sent(t, { ...form, headers: secretHeaders(form.headers) })
  t.equal(text, 'id=All%20%22well%22.')
  t.equal(headers!['content-type'], 'text/x-form')
  const json = secretHeaders({ 'content-type': 'application/vnd.x+json' })
  t.equal((await sent(t, { body: '{"id":"{{call.callId}}"}', headers: json })).text, '{"id":"c-1"}')
  t.equal((await sent(t, { body: '{{call.callId}}', headers: json })).text, '"c-1"')
})

t.test('templates do not see what is redacted', async (t) => {
  const body = { a: '{{call.joinUrl}}', b: '{{payload.call.joinUrl}}', c: '{{call.callId}}' }
  const { text } = await sent(t, { body, redact: ['call.joinUrl'] })
  t.equal(text, '{"c":"c-1"}')
})

t.test('headers are filled in, and one that comes out empty is left out', async (t) => {
  const headers = secretHeaders({ 'X-Call': 'call {{call.callId}}', 'X-None': ' {{call.absent}} ', 'X-Fixed': 'yes' })
  const { text, headers: received } = await sent(t, { headers })
  t.match(received, { 'x-call': 'call c-1', 'x-fixed': 'yes', 'content-type': 'application/json' })
  t.notOk('x-none' in received!)
  t.equal(text, Buffer.from(ended.event.body).toString(), 'the body is as received')
})

t.test('a filled in content type wins', async (t) => {
  const { headers } = await sent(t, { headers: secretHeaders({ 'Content-Type': 'text/{{call.n}}' }), body: 'x' })
  t.equal(headers!['content-type'], 'text/3')
})

/** What a call's note becomes in a header; undefined where the header is left out. */
const HEADER_VALUES: readonly [what: string, note: unknown, sent: string | undefined][] = [
  ['printable ASCII, % too', '50% of "it", 1\\2 ~', '50% of "it", 1\\2 ~'],
  ['an emoji', 'done 🎉', 'done %F0%9F%8E%89'],
  ['a text with % that has to be encoded', '100% café', '100%25 caf%C3%A9'],
  ['Latin-1', 'Jürgen Grün', 'J%C3%BCrgen Gr%C3%BCn'],
  ['line breaks with blanks around them', 'one \r\n  two\nthree\r four', 'one two three four'],
  ['blanks in a row', 'a   b', 'a   b'],
  ['a header in a value', 'a\r\nx-evil: 1\r\n\r\n{}', 'a x-evil: 1 {}'],
  ['NUL, tab, DEL and C1 controls', 'a\0b\tc\u007fd\u0085e\u009f', 'a b c d e'],
  ['separators of lines and paragraphs', 'a\u2028b\u2029c', 'a b c'],
  ['blanks at both ends', ' \u00a0\t a b\n', 'a b'],
  ['half surrogate pairs', 'a\ud83d b\udc4d', 'a%EF%BF%BD b%EF%BF%BD'],
  ['a number', 7, '7'],
  ['a mapping', { a: ['ü'] }, '{"a":["%C3%BC"]}'],
  ['nothing', undefined, undefined],
  ['null', null, undefined],
  ['an empty text', '', undefined],
  ['line breaks alone', '\r\n\n', undefined],
]

t.test('whatever a template comes to, the header is one that can be sent', async (t) => {
  const { origin, received } = await httpServer(t, (response) => response.end())
  const options = { name: 'crm', url: new Secret(origin), method: 'POST', timeoutMs: 5_000, sign: null } as const
  const headers = secretHeaders({ 'X-Note': '{{call.note}}', 'X-Fixed': 'yes' })
  const http = createHttpTarget({ ...options, headers, concurrency: 1, retryOn: [] }, clock)
  t.teardown(() => http.close())
  for (const [what, note, sent] of HEADER_VALUES) {
    const outcome = await http.send(deliveryOf({ event: 'call.ended', call: { note } }), running)
    t.same(outcome, { kind: 'delivered', status: 200 }, what)
    const { headers } = received.at(-1)!
    t.equal(headers['x-note'], sent, what)
    t.equal(headers['x-fixed'], 'yes', what)
    t.notOk('x-evil' in headers, what)
  }
  t.equal(received.length, HEADER_VALUES.length)
})

t.test('a long header value is cut between characters, and noted', async (t) => {
  const headers = secretHeaders({ 'X-Note': '{{call.note}}' })
  const cases: [note: string, sent: string, cut: boolean][] = [
    ['x'.repeat(4096), 'x'.repeat(4096), false],
    ['x'.repeat(9_000), 'x'.repeat(4096), true],
    ['🎉'.repeat(341), '%F0%9F%8E%89'.repeat(341), false],
    ['🎉'.repeat(342), '%F0%9F%8E%89'.repeat(341), true],
    [`${'a\n'.repeat(2_000)}${' '.repeat(100_000)}`, 'a '.repeat(2_000).trim(), true],
  ]
  for (const [note, value, cut] of cases) {
    const { outcome, headers: received } = await sent(
      t,
      { headers },
      deliveryOf({ event: 'call.ended', call: { note } }),
    )
    t.equal(received!['x-note'], value)
    t.same(outcome, {
      kind: 'delivered',
      status: 200,
      ...(cut && { note: 'cut header X-Note to 4096 characters' }),
    })
  }
})

t.test('the text around an expression may be anything too', async (t) => {
  const headers = secretHeaders({ 'X-Note': 'Größe:\n  {{call.n}}', 'X-Call': '{{ call.n = 3 ? "✓" : "✗" }}' })
  const { headers: received } = await sent(t, { headers })
  t.match(received, { 'x-note': 'Gr%C3%B6%C3%9Fe: 3', 'x-call': '%E2%9C%93' })
})

t.test('a template that fails on a payload is refused, without the value it failed on', async (t) => {
  for (const options of [
    { body: { n: '{{call.shortSummary + 1}}' } },
    { headers: secretHeaders({ 'X-N': '{{call.shortSummary + 1}}' }) },
  ]) {
    const { outcome, requests } = await sent(t, options)
    t.match(outcome, { kind: 'refused', error: /^template: / })
    t.notMatch(JSON.stringify(outcome), 'well')
    t.equal(requests, 0)
  }
})

t.test('a body that comes to nothing is refused', async (t) => {
  const { outcome } = await sent(t, { body: '{{call.absent}}' })
  t.same(outcome, { kind: 'refused', error: 'template: the body comes to nothing', unsent: true })
})

t.test('a body that is no JSON cannot be redacted or filled in, and is refused', async (t) => {
  for (const options of [{ redact: ['call.x'] }, { body: { a: '{{event.id}}' } }]) {
    const { outcome, requests } = await sent(t, options, sampleDelivery({ body: Buffer.from('{"call":') }))
    t.same(outcome, { kind: 'refused', error: 'payload: the body is not JSON', unsent: true })
    t.equal(requests, 0)
  }
})

t.test('a body in another encoding than UTF-8 is sent as it came, or redacted and in UTF-8', async (t) => {
  const json = '{"event":"call.ended","call":{"callId":"c-ü","joinUrl":"wss://x"}}'
  const contentType = 'application/json; charset=utf-16'
  for (const body of [
    Buffer.from(`\ufeff${json}`, 'utf16le'),
    Buffer.from(json, 'utf16le'),
    Buffer.from(`\ufeff${json}`),
  ]) {
    const delivery = sampleDelivery({ body, contentType })
    const plain = await sent(t, {}, delivery)
    t.match(plain, { text: body.toString(), headers: { 'content-type': contentType } })
    const redacted = await sent(t, { redact: ['call.joinUrl'] }, delivery)
    t.equal(redacted.text, json.replace(',"joinUrl":"wss://x"', ''))
    t.equal(redacted.headers!['content-type'], 'application/json')
    t.equal((await sent(t, { body: { id: '{{call.callId}}' } }, delivery)).text, '{"id":"c-ü"}')
    const untouched = await sent(t, { redact: ['call.absent'] }, delivery)
    t.match(untouched, { text: body.toString(), headers: { 'content-type': contentType } })
  }
})

t.test('a payload without a call fills in what there is', async (t) => {
  const { text } = await sent(
    t,
    { body: { id: '{{call.callId}}', name: '{{event.name}}' } },
    deliveryOf({ event: 'x' }),
  )
  t.equal(text, '{"name":"x"}')
})
