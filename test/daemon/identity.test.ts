import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, type Row, service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { send } from './ultravox-sender.ts'

const routes = [{ events: ['*'], to: ['crm'] }]

/** A body whose text is exactly this: escapes stay as they are written. */
const written = (event: string, callId: string) => Buffer.from(`{"event":"${event}","call":{"callId":"${callId}"}}`)

/**
 * Different events that a driver, a Node version or a comparison might take for one: half surrogate pairs, U+FFFD itself, bytes
 * that are not UTF-8, NUL, other normalisation, other case, other width, trailing blanks.
 */
const DIFFERENT: readonly Buffer[] = [
  written('call.ended', 'x\\ud800'),
  written('call.ended', 'x\\ud801'),
  written('call.ended', 'x\\udc00'),
  written('call.ended', 'x\\ufffd'),
  written('call.ended', '\\ud800\\ud800'),
  written('call.ended', 'y\\ud83d\\ude00'),
  written('call.ended', 'y\\ude00\\ud83d'),
  Buffer.concat([Buffer.from('{"event":"call.ended","call":{"callId":"x'), Buffer.from([0xff]), Buffer.from('"}}')]),
  Buffer.concat([Buffer.from('{"event":"call.ended","call":{"callId":"x'), Buffer.from([0xfe]), Buffer.from('"}}')]),
  written('call.ended', 'n\\u0000'),
  written('call.ended', 'n\\u0000a'),
  written('call.ended', 'n\\u0000b'),
  written('call.ended', 'n'),
  written('call.\\ud800', 'z'),
  written('call.\\ud801', 'z'),
  written('call.n\\u0000a', 'z'),
  written('call.n\\u0000b', 'z'),
  written('call.ended', '\\u00e9'),
  written('call.ended', 'e\\u0301'),
  written('call.ended', 'E\\u0301'),
  written('call.ended', 'b'),
  written('call.ended', 'b '),
  written('call.ended', `${'l'.repeat(300)}1`),
  written('call.ended', `${'l'.repeat(300)}2`),
]

t.test(
  'events that differ in what drivers store alike are each delivered, and recognised when they are sent again',
  async (t) => {
    const directory = scratch(t)
    const crm = await service(t, true)
    const relay = await startRelay(t, writeConfig(directory, { sources, targets: { crm: crm.target }, routes }))
    const url = `${relay.origin}/webhooks/ultravox`
    for (const body of [...DIFFERENT, ...DIFFERENT]) t.equal((await send(url, body)).status, 204)
    await eventually(() => crm.received.length >= DIFFERENT.length, 'all are delivered')
    const bodies = new Set(crm.received.map(({ body }) => body.toString('hex')))
    t.same(bodies, new Set(DIFFERENT.map((body) => body.toString('hex'))), 'each exactly as it was sent')
    const { events } = await commandsIn(directory).json('events list --limit 100')
    t.equal((events as Row[]).length, DIFFERENT.length)
    t.ok(
      (events as Row[]).every(({ duplicates }) => duplicates === 1),
      'and the second sending is a duplicate',
    )
    t.equal(crm.received.length, DIFFERENT.length, 'which is not delivered')
  },
)

t.test('an ordered target gets the events of calls with unusable ids, none waiting for another', async (t) => {
  const directory = scratch(t)
  const crm = await service(t, true)
  const targets = { crm: { ...crm.target, ordered: 'call' } }
  const relay = await startRelay(t, writeConfig(directory, { sources, targets, routes }))
  for (const body of DIFFERENT) t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  await eventually(() => crm.received.length === DIFFERENT.length, 'all are delivered')
})

t.test('an event name of megabytes is refused, kept as signed, and in no line of the log', async (t) => {
  const directory = scratch(t)
  const crm = await service(t, true)
  const relay = await startRelay(t, writeConfig(directory, { sources, targets: { crm: crm.target }, routes }))
  const url = `${relay.origin}/webhooks/ultravox`
  const longest = 'n'.repeat(256)
  t.equal((await send(url, written(longest, 'c'))).status, 204)
  const answer = await send(url, written('n'.repeat(4_800_000), 'c'))
  t.equal(answer.status, 400)
  t.match(JSON.parse(answer.text), { error: 'payload_invalid', message: /4800000 characters; at most 256 are allowed/ })
  t.equal((await send(url, written('call.ended', 'i'.repeat(4_800_000)))).status, 204, 'the body identifies it')
  await eventually(() => crm.received.length === 2, 'what was acknowledged is delivered')
  const { json, run } = commandsIn(directory)
  t.match(await json('rejections list'), { rejections: [{ reason: 'payload_invalid', kept: true }] })
  t.match((await run('rejections admit 1 --yes')).stderr, /cannot be admitted: the "event" has 4800000 characters/)
  t.ok(JSON.stringify(relay.log).length < 20_000, 'the log is short')
})
