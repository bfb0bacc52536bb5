import t from 'tap'
import { defaultMessage } from '../../src/targets/slack-message.ts'

const callId = '3c90c3cc-0d44-4b50-8888-8dd25736052a'
const call = {
  callId,
  agent: { agentId: 'a1', name: 'Sales agent' },
  created: '2026-01-15T11:56:40Z',
  joined: '2026-01-15T11:56:48.100000Z',
  ended: '2026-01-15T12:00:00.100000Z',
  endReason: 'agent_hangup',
  shortSummary: 'Wants the\nred one.',
  billedDuration: '192s',
  billingStatus: 'BILLING_STATUS_BILLED',
  joinUrl: 'wss://join.example/secret',
  systemPrompt: 'You are secret',
  metadata: { key: 'secret' },
  medium: { sip: { outgoing: { to: '+4912345', from: '+4999999' } } },
  summary: 'long secret summary',
}
const message = (event: string, changes: object = {}) =>
  defaultMessage({ event, callId, source: 'ultravox' }, { event, call: { ...call, ...changes } })

t.test('each event of a call has its own message', async (t) => {
  t.equal(message('call.started'), `*Call started* · Sales agent\n\`${callId}\``)
  t.equal(message('call.joined'), `*Call joined* · Sales agent\n\`${callId}\``)
  t.equal(
    message('call.ended'),
    `*Call ended* · Sales agent · 3m 12s · the agent hung up\n> Wants the red one.\n\`${callId}\``,
  )
  t.equal(message('call.billed'), `*Call billed* · Sales agent · 3m 12s\n\`${callId}\``)
})

t.test('an event of an unknown name goes by that name', async (t) => {
  t.equal(message('call.<transferred>'), `*call.&lt;transferred&gt;* · Sales agent\n\`${callId}\``)
})

t.test("the relay's own events are shown with their sentence, others that are called like them are not", async (t) => {
  const shown = (event: string, source: string, message: unknown = 'Target "crm" <!here> is\ndead') =>
    defaultMessage({ event, callId: null, source }, { event, message, target: { name: 'x' } })
  t.equal(shown('relay.delivery.dead', 'relay'), '*Delivery dead* · x\n> Target "crm" &lt;!here&gt; is dead')
  t.equal(shown('relay.target.opened', 'relay', 7), '*Target failing* · x')
  t.equal(shown('relay.delivery.dead', 'open'), '*relay.delivery.dead*')
  t.equal(shown('call.started', 'ultravox'), '*Call started*')
})

t.test(
  'an alert shows what it is about, how many, the calls and deliveries, and the command to run next',
  async (t) => {
    const delivery = { deliveryId: 7, target: 'crm', callId: 'call-1' }
    const alert = {
      event: 'relay.delivery.dead',
      count: 12,
      message: 'A delivery is dead: http 401',
      next: 'ultravox-relay deliveries list --state dead --target crm',
      delivery,
      deliveries: [delivery, { deliveryId: 9, callId: null }],
    }
    t.equal(
      defaultMessage({ event: alert.event, callId: null, source: 'relay' }, alert),
      `*Delivery dead* · crm · 12 times
> A delivery is dead: http 401
delivery 7, call \`call-1\`
delivery 9
Next: \`ultravox-relay deliveries list --state dead --target crm\``,
    )
  },
)

t.test('end reasons are told in words, unknown ones as they are', async (t) => {
  t.match(message('call.ended', { endReason: 'unjoined', joined: null }), '*Call ended* · Sales agent · nobody joined')
  t.match(message('call.ended', { endReason: 'hangup' }), '· the client hung up')
  t.match(message('call.ended', { endReason: 'lost_in_space' }), '· lost in space')
  t.match(message('call.ended', { endReason: 'constructor' }), '· constructor')
})

t.test('durations are told in words, odd ones left out', async (t) => {
  const ended = (to: unknown) => message('call.ended', { ended: to, shortSummary: null }).split('\n')[0]
  t.match(ended('2026-01-15T11:56:48.100Z'), '· 0s ·')
  t.match(ended('2026-01-15T13:00:00.100Z'), '· 1h 3m 12s ·')
  t.match(ended('2026-01-15T12:00:00'), '· 3m 12s ·', 'a time without an offset is UTC')
  t.match(ended('2026-01-15T13:00:00+01:00'), '· 3m 12s ·')
  for (const odd of ['2026-01-15T10:00:00Z', 'yesterday', 17, null, undefined]) {
    t.equal(ended(odd), '*Call ended* · Sales agent · the agent hung up')
  }
})

t.test('what was billed is told in words, and why something was not', async (t) => {
  const billed = (changes: object) => message('call.billed', changes).split('\n')[0]
  t.equal(billed({ billedDuration: '59.6s' }), '*Call billed* · Sales agent · 1m 0s')
  t.equal(billed({ billedDuration: 192 }), '*Call billed* · Sales agent')
  t.match(billed({ billingStatus: 'BILLING_STATUS_FREE_MINUTES' }), '· 3m 12s · from the free minutes')
  t.match(billed({ billingStatus: 'BILLING_STATUS_REFUNDED' }), '· refunded')
  t.match(billed({ billingStatus: 'BILLING_STATUS_BRAND_NEW' }), '· brand new')
})

t.test('nothing from the payload can mention, link or break the line', async (t) => {
  const text = message('call.ended', { agent: { name: '<!channel>\n& \u0007co' }, shortSummary: '<https://x|y>\r\n>z' })
  t.match(text, '· &lt;!channel&gt; &amp; co ·')
  t.match(text, '\n> &lt;https://x|y&gt; &gt;z\n')
  t.equal(text.split('\n').length, 3)
  t.equal(defaultMessage({ event: 'x', callId: 'a`b', source: 'ultravox' }, {}), "*x*\n`a'b`")
})

t.test('a long summary is cut', async (t) => {
  const [, summary] = message('call.ended', { shortSummary: 'y'.repeat(1_000) }).split('\n')
  t.equal(summary, `> ${'y'.repeat(299)}…`)
})

t.test('what does not belong in a channel is not in the message', async (t) => {
  for (const event of ['call.started', 'call.joined', 'call.ended', 'call.billed', 'other']) {
    t.notMatch(message(event), /secret|wss:|\+49/)
  }
})

t.test('a payload of any shape gives a message', async (t) => {
  const shapes = [
    null,
    7,
    'x',
    [],
    {},
    { call: null },
    { call: [] },
    { call: { agent: 'x', endReason: {}, joined: [] } },
  ]
  for (const payload of shapes) {
    t.equal(defaultMessage({ event: 'call.ended', callId: null, source: 'ultravox' }, payload), '*Call ended*')
  }
})
