import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createSlackTarget, type SlackTargetOptions } from '../../src/targets/slack.ts'
import { httpServer, listening, tcpServer } from '../local-server.ts'
import { connectProxy } from './connect-proxy.ts'
import { clock, deliveryOf, running, sampleDelivery } from './sample-delivery.ts'
import { SELF_SIGNED } from './self-signed.ts'

const ended = deliveryOf({ event: 'call.ended', call: { callId: 'c-1', endReason: 'hangup', note: '<!here> & "co"' } })

function target(t: Test, url: string, options: Partial<SlackTargetOptions> = {}) {
  const way = { headers: {}, tls: null, socketPath: null, proxy: null }
  const defaults = { name: 'ops', text: null, blocks: null, timeoutMs: 5_000, concurrency: 1, ...way }
  const made = createSlackTarget({ ...defaults, ...options, webhookUrl: new Secret(url) }, clock)
  t.teardown(() => made.close())
  return made
}

/** What Slack gets for these options. */
async function posted(t: Test, options: Partial<SlackTargetOptions>, delivery = ended) {
  const { origin, received } = await httpServer(t, (response) => response.end('ok'))
  t.same(await target(t, origin, options).send(delivery, running), { kind: 'delivered', status: 200, response: 'ok' })
  return JSON.parse(received[0]!.body.toString())
}

t.test('the default message is posted as JSON to the webhook', async (t) => {
  const { origin, received } = await httpServer(t, (response) => response.end('ok'))
  await target(t, `${origin}/services/T0/B0/x`).send(ended, running)
  t.match(received[0], { method: 'POST', url: '/services/T0/B0/x' })
  t.match(received[0]?.headers['content-type'], /^application\/json/)
  t.same(JSON.parse(received[0]!.body.toString()), { text: '*Call ended* · the client hung up\n`c-1`' })
})

t.test('an own text is filled in, with what comes from the payload escaped', async (t) => {
  const message = await posted(t, { text: '<!channel> {{call.callId}} & {{call.note}}{{call.missing}}' })
  t.same(message, { text: '<!channel> c-1 & &lt;!here&gt; &amp; "co"' })
})

t.test('blocks are filled in however deep, with the default message for notifications', async (t) => {
  const blocks = [
    {
      type: 'section',
      fields: [{ type: 'mrkdwn', text: '{{call.note}}' }],
      accessory: {
        type: 'button',
        text: { type: 'plain_text', text: '{{event}}', emoji: true },
        url: 'https://x/?n={{call.note}}',
      },
    },
  ]
  const message = await posted(t, { blocks })
  t.match(message.text, '*Call ended*')
  t.match(message.blocks[0], {
    fields: [{ text: '&lt;!here&gt; &amp; "co"' }],
    accessory: { text: { text: 'call.ended', emoji: true }, url: 'https://x/?n=<!here> & "co"' },
  })
})

t.test('what comes from the payload is escaped where Slack reads markup, and nowhere else', async (t) => {
  const fill = '{{call.note}}'
  const plain = { type: 'plain_text', text: fill }
  const mrkdwn = { type: 'mrkdwn', text: fill }
  const rich = (type: string) => ({
    type,
    elements: [
      { type: 'text', text: fill, style: { bold: true } },
      { type: 'link', url: fill, text: fill },
      { type: 'date', timestamp: 1, format: '{date}', fallback: fill },
    ],
  })
  const escaped = [
    { type: 'section', text: mrkdwn },
    { type: 'section', fields: [mrkdwn] },
    { type: 'context', elements: [mrkdwn] },
    { type: 'markdown', text: fill },
    { type: 'actions', elements: [{ type: 'button', text: plain, confirm: { text: mrkdwn } }] },
    { type: 'section', text: mrkdwn, accessory: { type: 'radio_buttons', options: [{ text: mrkdwn }] } },
    { type: 'section', text: { type: '{{"mrk" & "dwn"}}', text: fill } },
  ]
  const literal = [
    { type: 'header', text: plain },
    { type: 'section', text: plain },
    { type: 'image', image_url: fill, alt_text: fill, title: plain },
    { type: 'context', elements: [{ type: 'image', image_url: fill, alt_text: fill }] },
    { type: 'video', title: plain, description: plain, author_name: fill, provider_name: fill, title_url: fill },
    { type: 'actions', elements: [{ type: 'button', text: plain, value: fill, accessibility_label: fill, url: fill }] },
    { type: 'actions', elements: [{ type: 'overflow', options: [{ text: plain, value: fill, description: plain }] }] },
    { type: 'input', label: plain, hint: plain, element: { type: 'plain_text_input', placeholder: plain } },
    {
      type: 'rich_text',
      elements: [rich('rich_text_section'), rich('rich_text_preformatted'), rich('rich_text_quote')],
    },
    { type: 'rich_text', elements: [{ type: 'rich_text_list', elements: [rich('rich_text_section')] }] },
    {
      type: 'table',
      rows: [
        [
          { type: 'raw_text', text: fill },
          { type: 'rich_text', elements: [rich('rich_text_section')] },
        ],
      ],
    },
  ]
  const { blocks } = await posted(t, { blocks: [...escaped, ...literal] })
  const note = '<!here> & "co"'
  const filled = (block: object, from: string, value: string) =>
    JSON.parse(JSON.stringify(block).replaceAll(JSON.stringify(from).slice(1, -1), JSON.stringify(value).slice(1, -1)))
  for (const [index, block] of escaped.entries()) {
    const types = JSON.stringify(blocks[index]).match(/"mrkdwn","text":"&lt;!here&gt; &amp;|"markdown","text":"&lt;/g)
    t.ok(types !== null, JSON.stringify(blocks[index]))
    t.notMatch(JSON.stringify(blocks[index]), /"(mrkdwn|markdown)","text":"</, JSON.stringify(block))
  }
  for (const [index, block] of literal.entries()) {
    t.strictSame(blocks[escaped.length + index], filled(block, fill, note), block.type)
  }
})

t.test('a message is cut to what Slack takes', async (t) => {
  const delivery = deliveryOf({ event: 'call.ended', call: { note: 'n'.repeat(9_000) } })
  const blocks = [{ type: 'header', text: { type: 'plain_text', text: '{{call.note}}' } }]
  const message = await posted(
    t,
    { text: '{{call.note & call.note & call.note & call.note & call.note}}', blocks },
    delivery,
  )
  t.equal(message.text.length, 40_000)
  t.equal(message.blocks[0].text.text.length, 150)
})

t.test(
  'a template that fails on a payload is refused, without the value it failed on, and nothing is sent',
  async (t) => {
    const { origin, received } = await httpServer(t, (response) => response.end('ok'))
    const delivery = deliveryOf({ event: 'call.ended', call: { to: 'sesame' } })
    const outcome = await target(t, origin, { text: '{{$number(call.to)}}' }).send(delivery, running)
    t.match(outcome, { kind: 'refused', error: /^template: / })
    t.notMatch(JSON.stringify(outcome), /sesame/)
    t.equal(received.length, 0)
  },
)

t.test('a body that is no payload is refused', async (t) => {
  const outcome = await target(t, 'http://127.0.0.1:1').send(sampleDelivery({ body: Buffer.from('[]') }), running)
  t.same(outcome, { kind: 'refused', error: 'payload: the body is not a JSON object', unsent: true })
})

t.test('a template that is no JSONata is told at once', async (t) => {
  t.throws(() => target(t, 'http://127.0.0.1', { text: '{{call.}}' }), { name: 'ExpressionError' })
  t.throws(() => target(t, 'http://127.0.0.1', { blocks: [{ a: ['{{'] }] }), { name: 'ExpressionError' })
})

t.test(
  'what condemns the message is final, all else is tried again, each with the reason in its own words',
  async (t) => {
    const metadata = { messages: ['[ERROR] no more than 50 items allowed [json-pointer:/blocks]', 'more'] }
    const cases: [status: number, body: string | object, kind: string, error: string][] = [
      [400, 'invalid_payload', 'refused', 'slack: invalid_payload'],
      [400, 'invalid_blocks', 'refused', 'slack: invalid_blocks'],
      [400, 'no_text\n', 'refused', 'slack: no_text'],
      [400, { ok: false, error: 'invalid_blocks' }, 'refused', 'slack: invalid_blocks'],
      [
        400,
        { message: "Couldn't find the channel.", status_code: 400 },
        'refused',
        "slack: http 400: Couldn't find the channel.",
      ],
      [400, 'Invalid webhook\nbody', 'refused', 'slack: http 400: Invalid webhook body'],
      [403, 'invalid_blocks', 'refused', 'slack: invalid_blocks'],
      [403, 'action_prohibited', 'failed', 'slack: action_prohibited'],
      [404, 'channel_not_found', 'failed', 'slack: channel_not_found'],
      [404, 'no_service', 'failed', 'slack: no_service'],
      [410, 'channel_is_archived', 'refused', 'slack: channel_is_archived'],
      [404, '<html>not_found</html>', 'failed', 'slack: http 404'],
      [408, '', 'failed', 'slack: http 408'],
      [302, '', 'failed', 'slack: http 302'],
      [503, 'invalid_payload', 'failed', 'slack: invalid_payload'],
      [200, { ok: false, error: 'channel_not_found' }, 'failed', 'slack: channel_not_found'],
      [200, { ok: false, error: 'ratelimited' }, 'failed', 'slack: ratelimited'],
      [200, { ok: false, error: 'msg_too_long' }, 'refused', 'slack: msg_too_long'],
      [
        200,
        { ok: false, error: 'invalid_blocks', response_metadata: metadata },
        'refused',
        `slack: invalid_blocks: ${metadata.messages[0]}`,
      ],
      [
        200,
        { success: false, error: 'Invalid integration id or token' },
        'failed',
        'slack: Invalid integration id or token',
      ],
      [200, 'no_service', 'failed', 'slack: no_service'],
      [200, `{"ok":false,"error":"no_text","echo":"${'x'.repeat(20_000)}"}`, 'refused', 'slack: no_text'],
      [200, '', 'failed', "slack: answered 200 with text/plain, not Slack's ok: is webhookUrl right?"],
      [200, { hello: 'you' }, 'failed', "slack: answered 200 with text/plain, not Slack's ok: is webhookUrl right?"],
      [204, '', 'failed', "slack: answered 204 with text/plain, not Slack's ok: is webhookUrl right?"],
    ]
    const { origin } = await httpServer(t, (response, request) => {
      const [status, body] = cases[Number(request.url.slice(1))]!
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })
    for (const [index, [status, , kind, error]] of cases.entries()) {
      t.match(await target(t, `${origin}/${index}`).send(ended, running), { kind, status, error })
    }
  },
)

t.test('a page of HTML is not an ok, whatever its status', async (t) => {
  const { origin } = await httpServer(t, (response) =>
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!doctype html><title>ok</title>'),
  )
  t.match(await target(t, origin).send(ended, running), {
    kind: 'failed',
    status: 200,
    error: "slack: answered 200 with text/html, not Slack's ok: is webhookUrl right?",
    response: /doctype/,
  })
})

t.test('the ok of Slack and of services that take its messages is understood', async (t) => {
  const bodies = [
    'ok',
    'ok\n',
    '{"ok":true}',
    `{"ok": true, "channel": "C1", "message": {"text": "${'x'.repeat(20_000)}"}}`,
    '{"success":true}',
    '{"result":"success","msg":""}',
  ]
  const { origin } = await httpServer(t, (response, request) => response.end(bodies[Number(request.url.slice(1))]))
  for (const index of bodies.keys()) {
    t.match(await target(t, `${origin}/${index}`).send(ended, running), { kind: 'delivered', status: 200 })
  }
})

t.test(
  'a message goes through a proxy, over verified TLS, to a unix socket, with headers, as for http targets',
  async (t) => {
    const ok = (response: { end(text: string): unknown }) => response.end('ok')
    const headers = { Authorization: new Secret('Bearer sesame'), 'X-Call': new Secret('{{call.callId}}') }
    const plain = await httpServer(t, ok)
    t.match(await target(t, plain.origin, { headers }).send(ended, running), { kind: 'delivered' })
    t.match(plain.received[0]?.headers, {
      authorization: 'Bearer sesame',
      'x-call': 'c-1',
      'content-type': 'application/json; charset=utf-8',
      'user-agent': /^ultravox-relay/,
    })
    const proxy = await connectProxy(t)
    const proxied = await target(t, plain.origin, { proxy: new Secret(proxy.origin) }).send(ended, running)
    t.match(proxied, { kind: 'delivered' })
    t.equal(proxy.asked.length, 1)

    const { port } = await listening(
      t,
      createSecureServer(SELF_SIGNED, (_, response) => ok(response)),
    )
    const url = `https://localhost:${port}/services/x`
    const tls = { ca: new Secret(SELF_SIGNED.cert), cert: null, key: null, servername: null, insecure: false }
    t.match(await target(t, url).send(ended, running), { kind: 'failed', error: /^tls: / })
    t.match(await target(t, url, { tls }).send(ended, running), { kind: 'delivered' })

    const directory = mkdtempSync(join(tmpdir(), 'relay-'))
    t.teardown(() => rmSync(directory, { recursive: true }))
    const socketPath = join(directory, 'slack.sock')
    const server = createServer((_, response) => ok(response)).listen(socketPath)
    t.teardown(() => server.close())
    await once(server, 'listening')
    t.match(await target(t, 'http://localhost/', { socketPath }).send(ended, running), { kind: 'delivered' })
  },
)

t.test('429 waits as told', async (t) => {
  const { origin } = await httpServer(t, (response) =>
    response.writeHead(429, { 'retry-after': '30' }).end('rate_limited'),
  )
  const outcome = await target(t, origin).send(ended, running)
  t.match(outcome, { kind: 'failed', status: 429, error: 'slack: rate_limited', retryAfterMs: 30_000 })
})

t.test('5xx and a broken connection are tried again', async (t) => {
  const { origin } = await httpServer(t, (response) => response.writeHead(500).end('rollup_error'))
  t.match(await target(t, origin).send(ended, running), { kind: 'failed', error: 'slack: rollup_error' })
  const broken = await tcpServer(t, (socket) => socket.once('data', () => socket.destroy()))
  t.match(await target(t, `${broken.origin}/services/sesame`).send(ended, running), {
    kind: 'failed',
    error: /^network: /,
  })
})

t.test('a message counts as posted with the whole answer, and any other status with its head', async (t) => {
  const answers = {
    '200 OK': { kind: 'failed', status: 200, error: /^network: other side closed/ },
    '404 Not Found': { kind: 'failed', status: 404, error: 'slack: no_service' },
    '429 Too Many Requests\r\nretry-after: 30': { kind: 'failed', error: 'slack: no_service', retryAfterMs: 30_000 },
  }
  for (const [head, outcome] of Object.entries(answers)) {
    const { origin } = await tcpServer(t, (socket) =>
      socket.once('data', () =>
        socket.end(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ${head}\r\ncontent-length: 20\r\n\r\nno_service`),
      ),
    )
    t.match(await target(t, origin).send(ended, running), outcome)
  }
})

t.test('an attempt that is called off is interrupted', async (t) => {
  t.same(await target(t, 'http://127.0.0.1:1').send(ended, AbortSignal.abort()), { kind: 'interrupted' })
})
