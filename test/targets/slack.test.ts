import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createSlackTarget, type SlackTargetOptions } from '../../src/targets/slack.ts'
import { httpServer, tcpServer } from '../local-server.ts'
import { clock, deliveryOf, running, sampleDelivery } from './sample-delivery.ts'

const ended = deliveryOf({ event: 'call.ended', call: { callId: 'c-1', endReason: 'hangup', note: '<!here> & "co"' } })

function target(t: Test, url: string, options: Partial<SlackTargetOptions> = {}) {
  const defaults = { name: 'ops', text: null, blocks: null, timeoutMs: 5_000, concurrency: 1 }
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

t.test('what Slack refuses is final, and told in its own words', async (t) => {
  const answers: [number, string, string][] = [
    [400, 'invalid_payload', 'slack: invalid_payload'],
    [400, 'invalid_blocks', 'slack: invalid_blocks'],
    [400, 'no_text\n', 'slack: no_text'],
    [403, 'action_prohibited', 'slack: action_prohibited'],
    [404, 'channel_not_found', 'slack: channel_not_found'],
    [404, 'no_service', 'slack: no_service'],
    [410, 'channel_is_archived', 'slack: channel_is_archived'],
    [404, '<html>not_found</html>', 'slack: http 404'],
    [408, '', 'slack: http 408'],
    [302, '', 'slack: http 302'],
  ]
  for (const [status, body, error] of answers) {
    const { origin } = await httpServer(t, (response) => response.writeHead(status).end(body))
    t.match(await target(t, origin).send(ended, running), { kind: 'refused', status, error })
  }
})

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
    '404 Not Found': { kind: 'refused', status: 404, error: 'slack: no_service' },
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
