import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, sink, sources } from './operator-commands.ts'
import { writeConfig } from './relay-process.ts'

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

t.test('what is not there ends with 3 and the name that was perhaps meant', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { 'crm-eu': sink }, routes: [{ events: ['*'], to: ['crm-eu'] }] })
  await fill(directory, [{}], ['crm-eu'])
  const cases: [string, RegExp][] = [
    ['deliveries show 99', /there is no delivery 99/],
    ['deliveries retry 1 99 --yes', /there is no delivery 99/],
    ['deliveries cancel 99 1 --yes', /there is no delivery 99/],
    ['targets pause crm-ue', /there is no target "crm-ue" \(did you mean "crm-eu"\?\); there is: crm-eu/],
    ['targets resume toString', /there is no target "toString"/],
    ['events replay evt_none --yes', /there is no event evt_none/],
    ['events replay --event * --to crmeu --yes', /there is no target "crmeu" \(did you mean "crm-eu"\?\)/],
  ]
  await Promise.all(
    cases.map(async ([line, stderr]) => t.match(await run(line), { code: 3, stdout: '', stderr }, line)),
  )
  t.match(await deliveries(), [{ state: 'pending', attempts: 0 }], 'nothing was changed')
  t.match(await run('deliveries retry --target crm-ue --yes'), {
    code: 1,
    stdout: 'no deliveries match, nothing was queued for retry\n',
    stderr: /there is no target "crm-ue" in the configuration \(did you mean "crm-eu"\?\)/,
  })
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
