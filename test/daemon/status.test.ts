import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, type Row, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { startAtTerminal, startCommand } from './terminal.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('the status tells of a running relay, what came, what was refused, and how targets are', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const [crm, ops] = [await service(t, false), await service(t, true)]
  const config = writeConfig(directory, {
    sources,
    targets: { crm: crm.target, ops: ops.target, off: { ...sink, paused: true } },
    routes: [{ events: ['call.*'], to: ['crm', 'ops', 'off'] }],
  })
  const relay = await startRelay(t, config)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await fetch(`${relay.origin}/webhooks/ultravox`, { method: 'POST', body: '{}' })
  await eventually(() => relay.log.filter(({ msg }) => msg === 'delivery attempted').length === 2, 'two attempts')
  // The alert about the dead one is recorded after its line, and what proves nothing after its answer.
  const all = (of: Row) =>
    (of.outbox as Row).events === 2 && ((of.sources as Row[])[0]!.refusedLastHour as Row[]).length === 1
  await eventually(async () => all(await json('status')), 'all is on record')
  const document = await json('status')
  t.match(document, {
    at: /Z$/,
    version: /^\d/,
    outbox: { path: join(directory, 'relay.db'), events: 2, bytes: Number, walBytes: Number, freeBytes: Number },
    sources: [
      {
        source: 'ultravox',
        configured: true,
        lastEventAt: /Z$/,
        eventsLastHour: 1,
        refusedLastHour: [{ reason: 'signature_missing', count: 1 }],
      },
    ],
    targets: [
      { target: 'crm', dead: 1, lastError: /http 410/, lastErrorAt: /Z$/, deliveredPerMinute: 0, breaker: 'closed' },
      { target: 'ops', dead: 0, lastError: null, deliveredPerMinute: 0.2 },
      { target: 'off', pausedByConfig: true, due: 1, oldestDueAt: /Z$/ },
    ],
  })
  const { code, stdout, stderr } = await run('status')
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.match(stdout, /\noutbox +\S+relay\.db: 2 events, \S+ [KM]B, WAL \S+ [KM]?B, \S+ [GMT]B of disk free\n/)
  t.match(stdout, /\nultravox +\d+s ago +1 +1 +signature_missing 1\n/)
  t.match(stdout, /\nrelay \(its own events\) +\d+s ago +1 +0\n/)
  t.match(stdout, /\ncrm +running +0 +0 +1 +0 +closed +\d+s ago: http 410/)
  t.match(stdout, /\noff +paused \(configuration\) +1 +\d+s +0 +0 +0 +closed\n/)
})

t.test('a reload that failed, an open breaker and what is left of former days stand out', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, {
    sources,
    targets: { crm: sink },
    routes: [{ events: ['*'], to: ['crm'] }],
    outbox: { path: './relay.db', reserve: '100000gb' },
  })
  t.match(await run('status'), { code: 1, stdout: '', stderr: /there is no outbox at/ })
  await fill(directory, [{ source: 'former' }], ['gone'])
  t.match((await run('status')).stdout, /^daemon +not running, and never was/)
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  await outbox.record(newEvent(), [])
  await outbox.saveBreaker('crm', { probeAt: Date.now() + 5_400_000, cooldownMs: 30_000 }, Date.now())
  const daemon = {
    pid: 17,
    version: '0.0.9',
    listen: '127.0.0.1:1',
    configFile: '/etc/relay.yaml',
    secrets: {},
    configuration: null,
    reloadChanges: [],
    unknownPaths: [],
  }
  const answeredReload = 0
  const reload = { answeredReload, reloads: 3, reloadedAt: Date.now() - 5_000, reloadProblem: 'two\nlines \u001b[2J' }
  await outbox.saveDaemon({ ...daemon, ...reload, startedAt: Date.now() - 90_000 })
  const shown = (await run('status --color on')).stdout.replaceAll('\u001b', '^')
  t.match(shown, /^daemon +\^\[32mrunning\S+, pid 17, version 0\.0\.9, while this command is version \S+, since 20/)
  t.match(shown, /\n +listening on 127\.0\.0\.1:1, configured by \/etc\/relay\.yaml\n/)
  t.match(shown, /\n +\^\[31mreload failed \d+s ago, nothing was changed: two lines +\[2J\^\[39m\n/)
  t.match(shown, /\^\[31m\S+ \S+ of disk free, less than outbox\.reserve/)
  t.match(shown, /\^\[2mformer \(not configured\)/)
  t.match(shown, /\ncrm .*\^\[31mopen, probe in 1h/)
  t.match(shown, /\ngone +\^\[33morphaned/)
  const { configuration: _, reloadChanges: __, unknownPaths: ___, ...shownDaemon } = daemon
  t.match(await json('status'), {
    daemon: { ...shownDaemon, running: true, startedAt: /Z$/, reloads: 3, reloadedAt: /Z$/ },
  })
  await outbox.saveDaemon({ ...daemon, ...reload, reloadProblem: null, startedAt: Date.now() - 90_000 })
  t.match((await run('status')).stdout, /\n +reloaded \d+s ago, 3 times in all\n/)
  await outbox.close()
  t.match(await run('status'), { code: 0, stdout: /^daemon +not running; the last one, version 0\.0\.9, started 20/ })
  t.match(await json('status'), { daemon: { running: false, pid: 17 } })
})

t.test('a probe that failed is named, and a start with a changed URL tries at once', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const down = await httpServer(t, (response) => response.writeHead(503).end())
  const up = await httpServer(t, (response) => response.end())
  const configured = (timeout: string) =>
    writeConfig(directory, {
      sources,
      targets: {
        crm: { type: 'http', url: '${CRM_URL}', timeout, breaker: { failures: 2, cooldown: '1h', maxCooldown: '2h' } },
      },
      routes: [{ events: ['call.*'], to: ['crm'] }],
    })
  const config = configured('9s')
  const first = await startRelay(t, config, { CRM_URL: down.origin })
  for (const event of ['call.started', 'call.joined', 'call.ended']) {
    await send(`${first.origin}/webhooks/ultravox`, bodyOf(event))
    await eventually(() => down.received.length === (event === 'call.started' ? 1 : 2), 'two are tried')
  }
  const crm = async () => ((await json('status')).targets as Row[])[0]!
  await eventually(async () => (await crm()).breaker === 'open', 'opened')
  t.match(await crm(), { pending: 3, probeAt: /Z$/, lastProbe: null })
  t.match((await run('status')).stdout, /\nOPEN CIRCUIT +NEXT PROBE .*\ncrm +in (1h|59m \d+s) +none so far\n/)
  configured('8s')
  first.process.kill('SIGHUP')
  await eventually(() => down.received.length === 3, 'a reload tries at once')
  await eventually(async () => (await crm()).lastProbe !== null, 'and is not answered otherwise')
  t.match(await crm(), {
    breaker: 'open',
    lastProbe: { deliveryId: 3, eventId: /^evt_/, startedAt: /Z$/, status: 503, error: 'http 503' },
  })
  const { stdout } = await run('status')
  t.match(stdout, /\ncrm +in (2h|1h 59m) +delivery 3 +\d+s ago +http 503\n/)
  await first.end('SIGTERM')
  await startRelay(t, config, { CRM_URL: up.origin })
  await eventually(() => up.received.length > 0, 'the other URL is tried at once')
  await eventually(async () => (await crm()).breaker === 'closed', 'and has closed the circuit')
})

t.test('it is shown again and again: on a terminal in place, in a pipe one after the other', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  await fill(directory, [{}], ['crm'])
  const terminal = startAtTerminal(t, 'status --watch --interval 0.1', directory, 60, 8)
  const text = startCommand(t, 'status --interval 0.1s', directory)
  const json = startCommand(t, 'status -w --interval 0.1 --json', directory)
  const times = (output: string, what: string) => output.split(what).length - 1
  await eventually(() => times(terminal.output(), '\u001b[H') >= 3, 'drawn three times')
  await eventually(() => times(text.output(), 'TARGET') >= 2, 'printed twice')
  await eventually(() => times(json.output(), '\n') >= 2, 'two lines')
  t.equal(await terminal.interrupt(), 0)
  t.equal(await text.interrupt(), 0)
  t.equal(await json.interrupt(), 0)
  t.match(terminal.output(), '… 4 more lines\u001b[K\r\n\u001b[?7h\u001b[J', 'of ten lines, six fit')
  t.notMatch(text.output(), '\u001b')
  for (const line of json.output().trimEnd().split('\n')) t.match(JSON.parse(line), { targets: [{ due: 1 }] })
  t.match(await run('status --watch --interval 0'), { code: 2, stderr: /a number of seconds from 0\.1/ })
})

t.test('both have examples in their help', async (t) => {
  const { run } = commandsIn(scratch(t))
  for (const name of ['status', 'tail']) {
    t.match(await run(`${name} --help`), { code: 0, stdout: new RegExp(`Examples:\n  ultravox-relay ${name}`) })
  }
})
