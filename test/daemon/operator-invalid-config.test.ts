import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

const SECRET_URL_PART = 'token-9f8e7d6c5b4a'

t.test('commands on the outbox work while relay.yaml is invalid or gone', async (t) => {
  const directory = scratch(t)
  const { run, json, target } = commandsIn(directory)
  const crm = await service(t, true)
  const old = { ...crm.target, url: `${crm.target.url}/${SECRET_URL_PART}` }
  const valid = {
    sources,
    targets: { crm: old, ops: { ...crm.target, ordered: 'call', paused: true } },
    routes: [{ events: ['*'], to: ['crm', 'ops'] }],
  }
  const file = writeConfig(directory, valid)
  const [eventId] = await fill(directory, [{}], ['crm'], 'dead')
  await fill(directory, [{}], ['ops'])
  const relay = await startRelay(t, file)
  await eventually(async () => (await json('status')).daemon !== null, 'the relay is on record')

  const invalid = [
    `outbox:\n  path: ./relay.db\nsources: {}\ntargets:\n  crm: { type: http, url: [ }\n`,
    `outbox: { path: ./relay.db }\nsources:\n  ultravox: { secrets: ['\${NOT_THERE'] }\ntargets: 7\n`,
  ]
  for (const text of invalid) {
    writeFileSync(file, text)
    const status = await run('status')
    t.match(status, { code: 0, stdout: /crm +running[\s\S]*ops +paused \(configuration\)/ })
    t.match(
      status.stderr,
      /^warning: relay\.yaml:\d+:\d+: .*ultravox-relay check.*relay\.db \(outbox\.path\); configuration as the/,
    )
    t.equal(status.stderr.trim().split('\n').length, 1, 'one line')
  }
  for (const line of [
    'tail',
    'events list',
    'deliveries list',
    'calls show call-1',
    'rejections list',
    'gaps list',
    'clock',
  ]) {
    const { code, stderr } = await run(line)
    t.ok(code === 0 || !stderr.includes('ultravox-relay: relay.yaml'), `${line}: ${stderr}`)
  }
  t.match(await run('events show', eventId!), { code: 0 })
  t.match(await target('ops'), { type: 'http', pausedByConfig: true, configured: true })
  t.match(await run('targets pause crm'), { code: 0 })
  t.match(await run('targets resume crm'), { code: 0 })
  t.match(await run('targets probe ops'), { code: 1, stdout: /ops is paused/ })
  t.match(await run('backup copy.db'), { code: 0 })
  t.match(await run('prune --older-than 30d --dry-run'), { code: 0 })
  t.match(await run('doctor'), {
    code: 1,
    stdout: /problem +configuration +relay\.yaml:[\s\S]*target crm +1 delivery dead/,
  })
  t.match(await run('deliveries retry --target crm --yes'), { code: 0, stdout: /queued for retry/ })
  await eventually(() => crm.received.length === 1, 'the relay still delivers')
  for (const line of ['check', 'reload', 'events replay --since 1h --yes']) {
    t.match(await run(line), { code: 2, stderr: /relay\.yaml/ }, line)
  }

  rmSync(file)
  t.match(await run('deliveries list'), { code: 2, stderr: /there is no such file/ }, 'no outbox at the default path')
  const elsewhere = { ULTRAVOX_RELAY_OUTBOX: join(directory, 'relay.db') }
  t.match(await commandsIn(directory).runWith(elsewhere, 'deliveries list'), {
    code: 0,
    stdout: /crm/,
    stderr: /no such file.*\(ULTRAVOX_RELAY_OUTBOX\)/,
  })
  await relay.end('SIGTERM')
  writeConfig(directory, valid)
  t.match((await run('targets list')).stdout, /crm +http +relay not running/)
  t.notMatch(JSON.stringify(await json('status')), SECRET_URL_PART)
})

t.test('reload prints what has changed and what is orphaned', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const crm = await service(t, true)
  const config = (targets: object, name: string, more = {}) =>
    writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: [name] }], ...more })
  await fill(directory, [{}, {}], ['old'])
  const file = config({ old: { ...crm.target, paused: true } }, 'old')
  await startRelay(t, file)
  t.match(await run('reload'), { code: 0, stdout: /is reloaded\nnothing has changed\n$/ })
  config({ crm: crm.target }, 'crm')
  t.match(await run('reload'), {
    code: 0,
    stdout:
      /is reloaded\n {2}targets\.old removed\n {2}targets\.crm added\n {2}routes changed\nold is not configured, and 2 deliveries wait for it\n {2}deliveries move --target old --to NEW, or: deliveries cancel --target old\n$/,
  })
  config({ crm: { ...crm.target, timeout: '7s' } }, 'crm')
  t.match(await json('reload'), {
    changes: ['targets.crm changed: timeout'],
    orphaned: [{ target: 'old', pending: 2, dead: 0 }],
  })
  const advice = /deliveries move --target old --to NEW/
  t.match(await run('status'), { code: 0, stdout: advice })
  t.match(await run('doctor'), { stdout: advice })
})
