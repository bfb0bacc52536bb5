import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, type Row, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test("a call's life is shown beside a running relay, and an event of it", async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const crm = await service(t, false)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: crm.target, later: { ...sink, paused: true } },
    routes: [
      { events: ['call.ended'], to: ['crm'] },
      { events: ['call.*'], to: ['later'] },
    ],
  })
  const relay = await startRelay(t, config)
  const url = `${relay.origin}/webhooks/ultravox`
  const body = bodyOf('call.ended', 'call-1')
  for (const each of [bodyOf('call.started', 'call-1'), body, body, bodyOf('call.ended', 'call-2')])
    await send(url, each)
  await send(url, Buffer.from('{"event":"odd.thing"}'))
  await eventually(() => relay.log.filter(({ state }) => state === 'dead').length === 2, 'two dead deliveries')

  const call = await json('calls show call-1')
  t.match(call, {
    callId: 'call-1',
    events: [
      { event: 'call.started', origin: 'webhook', deliveries: [{ target: 'later', state: 'pending', history: [] }] },
      {
        event: 'call.ended',
        receivedAt: /Z$/,
        duplicates: 1,
        deliveries: [
          { target: 'crm', state: 'dead', dueAt: null, history: [{ status: 410, startedAt: /Z$/ }] },
          {
            target: 'later',
            state: 'pending',
            dueAt: /Z$/,
            waitsFor: { reason: 'paused', by: 'configuration' },
          },
        ],
      },
    ],
  })
  const [, ended] = call.events as Row[]
  const shown = await run('calls show call-1 --color on')
  t.match(shown, { code: 0, stderr: '', stdout: /^call call-1, deliveries: 2 pending, 1 dead\n/ })
  const red = (text: string) => `\u001b[31m${text}`
  t.ok(shown.stdout.includes(red('  crm: dead since ')), 'in colour')
  t.ok(shown.stdout.includes(red('    attempt 1 refused (410), ')), 'in colour')
  t.match(shown.stdout, /later: pending, due for \d+s; the configuration pauses its target/)

  const id = String(ended!.eventId)
  const payload = await run('events show', id, '--payload')
  t.equal(payload.stdout, body.toString(), 'exactly the bytes')
  t.match(await json('events show', id), { eventId: id, body: body.toString(), deliveries: [{ target: 'crm' }, {}] })
  const event = await run('events show', id)
  t.match(event.stdout, `event     call.ended  ${id}\ncall      call-1\nsource    ultravox\nreceived  20`)
  t.match(event.stdout, /\norigin +webhook, and 1 more of the same/)
  t.match(event.stdout, /\n +\d+ +crm +dead since .* 1 +http 410.*\n/)
  t.match(event.stdout, /\nDELIVERY +TARGET +ATTEMPT .*\n +\d+ +crm +1 +20.* refused +410 +http 410/)
  t.match(event.stdout, '\n{\n  "event": "call.ended",\n  "call": {\n    "callId": "call-1",\n')

  const named = async (line: string) => ((await json(line)).events as Row[]).map((each) => each.event)
  t.same(await named('events list --state none --source ultravox'), ['odd.thing'])
  t.same(await named('events list --state dead --call call-1'), ['call.ended'])
  t.same(await named('events list --state delivered,none --event call.*'), [])

  await relay.end('SIGTERM')
  await sayThatOneRan(directory)
  const stopped = { code: 0, stderr: 'no relay is running: what is pending stays so\n' }
  t.match(await run('calls show call-1'), stopped)
  t.match(await run('events show', id), stopped)
  t.match(await run('events show', id, '--payload'), { stdout: body.toString(), stderr: '' })
})

/** Leaves what a relay says of itself in its outbox, with none running. */
async function sayThatOneRan(directory: string) {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const unchanged = {
    reloads: 0,
    reloadedAt: null,
    reloadProblem: null,
    answeredReload: 0,
    secrets: {},
    configuration: null,
    reloadChanges: [],
    unknownPaths: [],
  }
  await outbox.saveDaemon({ pid: 1, version: '0', listen: '', configFile: '', startedAt: 1, ...unchanged })
  await outbox.close()
}

t.test('a call is found by the beginning of its id, where that is enough', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const calls = Array.from({ length: 12 }, (_, n) => ({ callId: `bb-${String(n).padStart(2, '0')}` }))
  await fill(
    directory,
    [{ callId: 'aa-1' }, { callId: 'aa-1', event: 'x' }, { callId: 'cc' }, { callId: 'cc-2' }, ...calls],
    [],
  )
  t.match(await run('calls show aa'), {
    code: 0,
    stderr: 'aa is call aa-1\n',
    stdout: /^call aa-1, deliveries: none\n/,
  })
  t.match(await json('calls show aa'), { callId: 'aa-1', events: [{}, {}] })
  t.match(await run('calls show cc'), { code: 0, stderr: '' }, 'a whole id is meant, whatever else begins so')
  const several = await run('calls show bb-')
  t.match(several, { code: 2, stdout: '', stderr: /several calls begin with "bb-":\n {2}bb-00\n {2}bb-01\n/ })
  t.match(several.stderr, /\n {2}bb-09\n {2}and more\nname one of them\n$/)
  t.match(await run('calls show zz'), {
    code: 3,
    stdout: '',
    stderr: /nothing is known of a call zz; .*rejections list --kept/,
  })
})

t.test('calls are listed with their first and last event and what became of their deliveries', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const [first, last] = [Date.parse('2026-01-15T11:00Z'), Date.parse('2026-01-15T11:05Z')]
  await fill(
    directory,
    [
      { callId: 'call-1', event: 'call.started', receivedAt: first },
      { callId: 'call-1', event: 'call.ended', receivedAt: last },
    ],
    ['crm'],
    'dead',
  )
  await fill(directory, [{ callId: 'call-2', event: 'call.joined', receivedAt: first }], ['crm'])
  await fill(directory, [{ callId: 'call-1', event: 'call.billed', receivedAt: last + 1 }], [])
  const { calls } = await json('calls list')
  t.match(calls, [
    {
      callId: 'call-1',
      firstEvent: 'call.started',
      firstEventAt: '2026-01-15T11:00:00.000Z',
      lastEvent: 'call.billed',
      state: 'billed',
      events: 3,
      worstDelivery: 'dead',
      deliveries: { dead: 2 },
    },
    { callId: 'call-2', state: 'joined', events: 1, worstDelivery: 'pending', deliveries: { pending: 1, failing: 0 } },
  ])
  const listed = await run('calls list --limit 1')
  t.match(listed, { code: 0, stderr: 'these are the newest 1; there are more (--limit)\n' })
  t.match(listed.stdout, /^CALL +LAST .*\ncall-1 +2026-01-15T11:05:00\.001Z +call\.billed .* dead 2\n$/)
  t.match(await json('calls list --state pending'), { calls: [{ callId: 'call-2' }], more: false })
  t.match(await run('calls list --source other'), { code: 2, stderr: /there is no source "other"/ })
})

t.test('an event or a call is named by a beginning of its id that no other one has', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const ids = ['evt_aa1', 'evt_aa2', 'evt_b']
  await fill(
    directory,
    ids.map((eventId, n) => ({ eventId, callId: `call-${n}` })),
    ['crm'],
  )
  t.match(await json('events show evt_aa1'), { eventId: 'evt_aa1' })
  t.match(await json('events show evt_b'), { eventId: 'evt_b' })
  const ambiguous = /several events begin with "evt_a":\n {2}evt_aa1\n {2}evt_aa2\nname one of them/
  for (const line of ['events show evt_a', 'events replay evt_a --yes', 'deliveries list --event-id evt_a'])
    t.match(await run(line), { code: 2, stdout: '', stderr: ambiguous }, line)
  t.match(await json('deliveries list --event-id evt_b,evt_aa2'), {
    deliveries: [{ eventId: 'evt_b' }, { eventId: 'evt_aa2' }],
  })
  t.match(await json('events replay evt --event * --after evt_aa2 --dry-run').catch(String), /several events begin/)
  t.match(await json('events list --call call-2'), { events: [{ eventId: 'evt_b' }] })
  t.match(await run('events list --call call'), { code: 2, stderr: /several calls begin with "call"/ })
  t.match(await run('tail --call call'), { code: 2, stderr: /several calls begin with "call"/ })
})

t.test('every one of these commands has an example in its help', async (t) => {
  const { run } = commandsIn(scratch(t))
  const helped = async (line: string) =>
    t.match((await run(`${line} --help`)).stdout, new RegExp(`\\nExamples:\\n {2}ultravox-relay ${line} `))
  await Promise.all(['events show', 'calls show'].map(helped))
})

t.test('wrong usage of these commands says what to write', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  await fill(directory, [{}], [])
  const cases: [string, number, RegExp][] = [
    ['events show evt_none', 3, /there is no event evt_none/],
    ['events show evt_1 --payload --json', 2, /cannot be used with/],
    ['events list --state gone', 2, /write pending or delivered or dead or cancelled or none/],
    ['calls show', 2, /missing required argument.*--help/s],
  ]
  await Promise.all(
    cases.map(async ([line, code, stderr]) => t.match(await run(line), { code, stdout: '', stderr }, line)),
  )
})

t.test('the commands that the README gives for a question about a call do what it says', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const callId = '0a1b2c3d-0000-4000-8000-00000000aaaa'
  await fill(directory, [{ callId, receivedAt: Date.now() }], ['crm'], 'dead')
  await fill(directory, [{ receivedAt: Date.now() }], [])
  const section = /### When somebody asks about a call\n.*?```sh\n(.*?)```/s.exec(
    readFileSync('README.md', 'utf8'),
  )?.[1]
  const lines = section!.trim().split('\n')
  t.equal(lines.length, 5)
  const outputs = await Promise.all(lines.map((line) => run(line.replace(/^ultravox-relay | *#.*$/g, ''))))
  const expected = [/^call 0a1b2c3d-/, /call\.ended/, callId, '', '0 events recorded, 0 deliveries\n']
  for (const [at, stdout] of expected.entries()) t.match(outputs[at], { code: 0, stdout }, lines[at]!)
})
