import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, sink, sources } from './operator-commands.ts'
import { MAIN, writeConfig } from './relay-process.ts'

t.test('an id that cannot be changed so is told', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  await fill(directory, [{}], ['crm'], 'delivered')
  await fill(directory, [{}], ['crm'])
  t.match(await run('deliveries cancel 1 2 --yes'), {
    code: 0,
    stdout: '1 delivery to crm cancelled\n',
    stderr: /^1 delivery named here cannot be changed so/,
  })
  t.match(await deliveries(), [
    { deliveryId: 2, state: 'cancelled' },
    { deliveryId: 1, state: 'delivered' },
  ])
})

t.test('-o json is --json, and -o wide shows all columns', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  const file = writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  await fill(directory, [{ callId: '0a1b2c3d-0000-4000-8000-000000000001' }], ['crm'])
  t.equal((await run('events list -o json')).stdout, (await run('events list --json')).stdout)
  t.match(await run('events list --json -o wide'), {
    code: 2,
    stdout: '',
    stderr: /--json and -o wide exclude each other/,
  })
  t.match(await run('events list -o yaml'), { code: 2, stdout: '', stderr: /Allowed choices are json, wide/ })
  const atTerminal = (line: string) => {
    const command = `stty cols 80 rows 20; exec '${process.execPath}' '${MAIN}' ${line} --config ${file} --color off`
    return execFileSync('script', ['-qec', command, '/dev/null'], { cwd: directory, encoding: 'utf8' })
  }
  t.notMatch(atTerminal('events list'), 'DUPLICATES')
  t.match(atTerminal('events list -o wide'), /^ID .*SOURCE.*DUPLICATES.*CALL.*DELIVERIES\r\n.*-000000000001.*pending 1/)
})

t.test('what is not there ends with 3', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { 'crm-eu': sink }, routes: [{ events: ['*'], to: ['crm-eu'] }] })
  await fill(directory, [{}], ['crm-eu'])
  const cases: [string, RegExp][] = [
    ['deliveries show 99', /there is no delivery 99/],
    ['deliveries retry 1 99 --yes', /there is no delivery 99/],
    ['deliveries cancel 99 1 --yes', /there is no delivery 99/],
    ['events replay evt_none --yes', /there is no event evt_none/],
  ]
  await Promise.all(
    cases.map(async ([line, stderr]) => t.match(await run(line), { code: 3, stdout: '', stderr }, line)),
  )
  t.match(await deliveries(), [{ state: 'pending', attempts: 0 }], 'nothing was changed')
})

t.test('a target or source that is unknown ends with 2 and the name that was perhaps meant', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { 'crm-eu': sink }, routes: [{ events: ['*'], to: ['crm-eu'] }] })
  await fill(directory, [{}], ['crm-eu', 'former'])
  const target = /there is no target "crm-ue" \(did you mean "crm-eu"\?\); there is: crm-eu/
  const source = /there is no source "ultravxo" \(did you mean "ultravox"\?\); there is: ultravox/
  const commands = ['deliveries list', 'deliveries retry --yes', 'deliveries cancel --yes', 'tail', 'tail --json']
  const cases: [string, RegExp][] = [
    ...commands.map((line): [string, RegExp] => [`${line} --target crm-ue`, target]),
    ['deliveries move --target crm-ue --to crm-eu --yes', target],
    ['deliveries move 1 --to crm-ue --yes', target],
    ['events replay --event * --to crm-ue --yes', target],
    ['events replay --failed-at crm-ue --yes', target],
    ['targets pause crm-ue', target],
    ['targets probe crm-ue', target],
    ['targets test crm-ue', target],
    ['targets resume toString', /there is no target "toString"/],
    ...['events list', 'deliveries list', 'rejections list', 'rejections admit', 'rejections clear', 'tail'].map(
      (line): [string, RegExp] => [`${line} --source ultravxo`, source],
    ),
  ]
  for (const [line, stderr] of cases) t.match(await run(line), { code: 2, stdout: '', stderr }, line)
  t.equal((await deliveries('--target former')).length, 1, 'one that has deliveries is known')
  t.match(await run('tail --target former'), { code: 0, stderr: 'nothing to show\n' })
  t.match(await run('events list --source relay'), { code: 0, stderr: 'no events\n' }, 'the relay itself')
  t.match(await deliveries('--target crm-eu'), [{ state: 'pending', attempts: 0 }], 'nothing was changed')
})

t.test('help of a command is found by its whole name, wherever the word help is', async (t) => {
  const { run } = commandsIn(scratch(t))
  const asked = await run('deliveries retry --help')
  t.match(asked, { code: 0, stdout: /^Usage: ultravox-relay deliveries retry / })
  for (const line of ['help deliveries retry', 'deliveries help retry']) t.same(await run(line), asked, line)
  t.same(await run('help check'), await run('check --help'))
  t.same(await run('deliveries help'), await run('deliveries --help'))
  t.same(await run('help'), await run('--help'))
  for (const line of ['help deliveries rety', 'deliveries help rety'])
    t.match(await run(line), { code: 2, stdout: '', stderr: /unknown command 'rety'/ }, line)
  t.match(await run('help srve'), { code: 2, stdout: '', stderr: /unknown command 'srve'.*serve/s })
})

t.test('check takes its file as an argument or with -c', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const valid = { code: 0, stdout: 'relay.yaml is valid: 1 source, 1 target, 1 route\n' }
  for (const line of ['check relay.yaml', 'check -c relay.yaml', 'check']) t.match(await run(line), valid, line)
  t.match(await run('check gone.yaml'), { code: 2, stderr: /gone\.yaml/ })
  t.match(await run('check relay.yaml -c gone.yaml'), { code: 2, stderr: /name the configuration once/ })
})

t.test('wrong usage ends with 2, says what to write, and touches nothing', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const cases: [string, RegExp][] = [
    ['deliveries retry --yes', /by their ids or by a filter/],
    ['deliveries cancel --yes', /by their ids or by a filter/],
    ['events replay --to crm --yes', /by their ids or by a filter/],
    ['deliveries list --state gone', /write pending or delivered or dead or cancelled/],
    ['deliveries cancel --state delivered --target crm', /write pending or dead/],
    ['deliveries list --since yesterday', /an age such as 2h/],
    ['events list --since 1h --until 2h', /since .* is after until .*: nothing can match/],
    ['deliveries list --limit 0', /a whole number/],
    ['deliveries show x', /a delivery id is a whole number/],
    ['deliveries retry 1 --yes --dry-run', /cannot be used with/],
    ['deliveries lsit', /unknown command 'lsit'.*--help/s],
    ['targets pause', /missing required argument.*--help/s],
    ['events list --cal x', /unknown option '--cal'.*--help/s],
  ]
  await Promise.all(
    cases.map(async ([line, stderr]) => t.match(await run(line), { code: 2, stdout: '', stderr }, line)),
  )
  t.notOk(existsSync(join(directory, 'relay.db')))
  t.match(await run('targets list'), { code: 1, stdout: '', stderr: /there is no outbox at .*relay\.db/ })
  t.notOk(existsSync(join(directory, 'relay.db')), 'a look makes none')
})

t.test('every one of these commands has an example in its help', async (t) => {
  const { run } = commandsIn(scratch(t))
  const families = { deliveries: ['list', 'show', 'retry', 'cancel'], targets: ['list', 'pause', 'resume'] }
  const all = Object.entries({ ...families, events: ['list', 'replay'] })
  const lines = all.flatMap(([family, names]) => names.map((name) => `${family} ${name}`))
  await Promise.all(
    lines.map(async (line) => {
      const { code, stdout } = await run(`${line} --help`)
      t.equal(code, 0)
      t.match(stdout, new RegExp(`\\nExamples?:\\n  ultravox-relay ${line}\\b`))
      t.match(stdout, '--json')
    }),
  )
})

t.test('the commands that the README gives for a target that was down do what it says', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const events = Array.from({ length: 20 }, () => ({ receivedAt: Date.now() - 3_600_000 }))
  await fill(directory, events, ['crm'], 'dead')
  const section = /### When a target was down\n.*?```sh\n(.*?)```/s.exec(readFileSync('README.md', 'utf8'))?.[1] ?? ''
  const lines = section
    .trim()
    .split('\n')
    .map((line) => line.replace(/^ultravox-relay | *#.*$/g, ''))
  t.equal(lines.length, 5)
  const last = lines.pop()!
  for (const line of lines) t.match(await run(line), { code: 0, stdout: /crm/, stderr: '' }, line)
  t.match(await run(last), { code: 2, stderr: /say --yes/ })
  t.match(await run(`${last} --yes`), { code: 0, stdout: '20 deliveries to crm queued for retry\n' })
  t.equal((await deliveries('--state pending')).length, 20)
})
