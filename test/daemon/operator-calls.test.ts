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
