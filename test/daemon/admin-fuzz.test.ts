import fc from 'fast-check'
import t from 'tap'
import { anyText } from '../any-text.ts'
import { holds } from '../holds.ts'
import { answersIn, mangled } from '../ingest/mangled.ts'
import { connect } from '../ingest/raw-http.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const TOKEN = 'token-of-the-operators'
const LISTS = [
  'events',
  'deliveries',
  'rejections',
  'targets',
  'gaps',
  'status',
  'tail',
  'calls/call-1',
  'openapi.json',
]
const ACTIONS = [
  'deliveries/retry',
  'deliveries/cancel',
  'events/replay',
  'rejections/admit',
  'rejections/clear',
  'targets/a/pause',
]

const text = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e999',
    '9'.repeat(30),
    'null',
    'dead',
    '1h',
    '2026-13-45',
    '__proto__',
    "' or 1=1 --",
    '%',
    '*'.repeat(200),
    '../..',
    '\ud800',
  ),
  anyText({ maxLength: 8 }),
)
const key = fc.constantFrom(
  'limit',
  'state',
  'since',
  'until',
  'event',
  'call',
  'source',
  'target',
  'ids',
  'eventId',
  'dryRun',
  '__proto__',
  'x',
  'to',
)
const json = fc.oneof(
  fc
    .dictionary(key, fc.oneof(text, fc.jsonValue(), fc.array(text, { maxLength: 3 })), { maxKeys: 4 })
    .map((value) => JSON.stringify(value)),
  fc.constantFrom(
    '',
    '{',
    '[]',
    'null',
    '"x"',
    `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
    '{"__proto__":{}}',
    '{"ids":[1,1]}',
    '{"ids":[1e999]}',
  ),
  text,
)

t.test('whatever the admin API is asked, it answers without a fault of its own', { timeout: 240_000 }, async (t) => {
  const config = { sources, targets: { a: { ...sink, paused: true } }, routes: [{ events: ['*'], to: ['a'] }] }
  const admin = { listen: '127.0.0.1:0', token: TOKEN }
  const relay = await startRelay(t, writeConfig(scratch(t), { ...config, admin }))
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', 'call-1'))
  const address = adminAddress(relay)
  const port = Number(address.split(':').at(-1))
  const authorization = { authorization: `Bearer ${TOKEN}` }
  const client = adminClient(address)
  const statuses: Record<string, number> = {}
  const count = (status: number) => {
    statuses[status] = (statuses[status] ?? 0) + 1
    return status < 500
  }

  const query = fc.array(fc.tuple(key, text), { maxLength: 4 }).map((pairs) => {
    const encoded = pairs.map(([name, value]) => `${name}=${encodeURIComponent(Buffer.from(value).toString())}`)
    return encoded.length === 0 ? '' : `?${encoded.join('&')}`
  })
  await holds(
    t,
    fc.asyncProperty(fc.constantFrom(...LISTS), query, async (list, asked) => {
      const { status, text } = await client.get(`/api/${list}${asked}`, authorization)
      return count(status) && !/\n\s+at |SQLITE|sqlite/.test(text)
    }),
    40,
    () => `lists, ${JSON.stringify(statuses)}`,
  )
  const type = fc.constantFrom('application/json', 'text/plain', 'application/json; charset=utf-16', '')
  await holds(
    t,
    fc.asyncProperty(fc.constantFrom(...ACTIONS), json, type, async (action, body, contentType) => {
      const connection = await connect(port)
      const bytes = Buffer.from(body)
      const head = `POST /api/${action} HTTP/1.1\r\nhost: ${address}\r\nauthorization: Bearer ${TOKEN}\r\n`
      connection.write(`${head}content-type: ${contentType}\r\ncontent-length: ${bytes.length}\r\n\r\n`)
      connection.write(bytes)
      const { status, body: told } = await connection.answer()
      connection.end()
      return count(status) && !/\n\s+at |SQLITE|sqlite/.test(told)
    }),
    40,
    () => `actions, ${JSON.stringify(statuses)}`,
  )
  const sound = [
    `GET /api/events?limit=1 HTTP/1.1\r\nhost: ${address}\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`,
    `POST /api/events/replay HTTP/1.1\r\nhost: ${address}\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
  ]
  await holds(
    t,
    fc.asyncProperty(mangled(sound), async (request) => {
      const connection = await connect(port)
      connection.socket.end(Buffer.from(request, 'latin1'))
      await connection.closed
      connection.end()
      return answersIn(connection.unread).statuses.every(count)
    }),
    60,
    () => `bytes, ${JSON.stringify(statuses)}`,
  )
  t.ok(statuses[200]! > 0 && statuses[400]! > 0)
  t.equal((await client.get('/api/events', authorization)).status, 200, 'it answers as ever')
  t.same(
    relay.log.filter(({ level, msg }) => level === 'error' || msg === 'admin request failed'),
    [],
  )
  t.notMatch(JSON.stringify(relay.log), TOKEN)
  t.equal((await relay.end('SIGTERM')).code, 0)
  t.notMatch(relay.stderr(), /Warning|\n\s+at /)
})
