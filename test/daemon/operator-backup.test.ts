import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sink, sources } from './operator-commands.ts'
import { MAIN, startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const toCrm = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }

/** One value from a database file. */
function valueIn(path: string, sql: string): unknown {
  const database = openDatabase(path, { readonly: true })
  try {
    return database.prepare(sql).pluck().get()
  } finally {
    database.close()
  }
}

t.test('a backup beside a relay that receives is whole, and can be restored', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const [up, down] = [await service(t, true), await service(t, true)]
  const config = writeConfig(directory, {
    sources,
    targets: { up: up.target, down: { ...down.target, paused: true } },
    routes: [{ events: ['*'], to: ['up', 'down'] }],
  })
  const relay = await startRelay(t, config)
  const acknowledged: string[] = []
  let sending = true
  const client = async (client: number) => {
    for (let n = 0; sending; n++) {
      const callId = `call-${client}-${n}`
      const { status } = await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', callId))
      if (status === 204) acknowledged.push(callId)
    }
  }
  const clients = [0, 1, 2, 3].map(client)
  await eventually(() => acknowledged.length > 100, 'events come in')
  const before = [...acknowledged]
  const report = await json('backup copy.db')
  const during = acknowledged.length - before.length
  t.ok(during > 0, `the relay took ${during} events meanwhile`)
  sending = false
  await Promise.all(clients)

  const copy = join(directory, 'copy.db')
  t.same(report, { file: copy, bytes: statSync(copy).size, events: report.events, deliveries: report.deliveries })
  t.equal(statSync(copy).mode & 0o777, 0o600)
  t.same(
    readdirSync(directory).filter((name) => name.includes('copy.db')),
    ['copy.db'],
  )
  t.equal(valueIn(copy, 'pragma integrity_check'), 'ok')
  t.equal(valueIn(copy, 'select count(*) from events'), report.events)
  t.ok((report.events as number) >= before.length, 'nothing acknowledged before it is missing')
  t.equal(report.deliveries, (report.events as number) * 2)
  t.equal(
    valueIn(copy, 'select count(*) from (select event_id from delivery_log group by event_id having count(*) = 2)'),
    report.events,
    'each event has its deliveries',
  )
  t.equal(valueIn(copy, 'select count(*) from event_log where body is not null'), report.events)

  // As the README says. Killed, so that the log of the old outbox is still there.
  await relay.end('SIGKILL')
  const script = /```sh\n(systemctl stop .*?)```/s.exec(readFileSync('README.md', 'utf8'))![1]!
  const here = script
    .replace(/^systemctl .*$/gm, '')
    .replaceAll('/etc/ultravox-relay/relay.yaml', `${config} --yes`)
    .replaceAll('/var/backups/relay.db', copy)
    .replaceAll('ultravox-relay restore', `${process.execPath} ${MAIN} restore`)
  execFileSync('sh', ['-euc', here])
  t.equal(((await json('events list --limit 100000')).events as unknown[]).length, report.events)
  writeConfig(directory, {
    sources,
    targets: { up: up.target, down: down.target },
    routes: [{ events: ['*'], to: ['up', 'down'] }],
  })
  await startRelay(t, config)
  const calls = () => new Set(down.received.map(({ headers }) => headers['x-relay-call-id']))
  await eventually(() => before.every((callId) => calls().has(callId)), 'deliveries go on')
  t.match(await run('events list --limit 1'), { code: 0 })
})

t.test(
  'a backup that is copied over the outbox of a relay ends it, and nothing is acknowledged or overwritten',
  async (t) => {
    const directory = scratch(t)
    // The API's own connection to the outbox must leave the files alone too.
    const config = writeConfig(directory, { ...toCrm, admin: { listen: '127.0.0.1:0' } })
    const relay = await startRelay(t, config)
    const url = `${relay.origin}/webhooks/ultravox`
    t.equal((await send(url, bodyOf('call.ended', 'before'))).status, 204)
    const [path, copy] = [join(directory, 'relay.db'), join(directory, 'copy.db')]
    await commandsIn(directory).json('backup copy.db')
    t.equal((await send(url, bodyOf('call.ended', 'since'))).status, 204)
    execFileSync('cp', [copy, path])
    const answer = await send(url, bodyOf('call.ended', 'after')).catch(() => ({ status: 0 }))
    t.not(answer.status, 204)
    t.match(await relay.end('SIGCONT'), { code: 1, stdout: /was overwritten .*ultravox-relay restore FILE/ })
    t.ok(readFileSync(path).equals(readFileSync(copy)))
    t.ok(statSync(`${path}-wal`).size > 0, 'the WAL is kept')
  },
)

t.test('a backup never takes the place of a file, unless it is told to', async (t) => {
  const directory = t.testdir({ 'there.db': 'precious', sub: {} })
  const { run } = commandsIn(directory)
  writeConfig(directory, toCrm)
  await fill(directory, [{}, {}], ['crm'], 'delivered')
  const path = (name: string) => join(directory, name)
  symlinkSync(path('relay.db'), path('link.db'))
  linkSync(path('relay.db'), path('hard.db'))
  symlinkSync(path('there.db'), path('kept.db'))

  const refused: [string, RegExp][] = [
    ['there.db', /there\.db is there already.*--force/],
    ...['relay.db', './sub/../relay.db', 'link.db', 'hard.db', '.relay.db.lock'].map((name): [string, RegExp] => [
      `${name} --force`,
      /is the outbox itself/,
    ]),
    ['sub --force', /is a directory/],
    ['/dev/null --force', /no regular file/],
    ['nowhere/x.db', /cannot write into .*nowhere: there is no such directory/],
  ]
  await Promise.all(
    refused.map(async ([line, stderr]) => t.match(await run(`backup ${line}`), { code: 2, stdout: '', stderr }, line)),
  )
  t.equal(readFileSync(path('there.db'), 'utf8'), 'precious')

  const { code, stdout, stderr } = await run('backup kept.db --force')
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.match(stdout, /^\/.*\/there\.db: \d+ KB, 2 events, 2 deliveries\n$/)
  t.equal(valueIn(path('there.db'), 'select count(*) from events'), 2)
  t.equal(statSync(path('there.db')).mode & 0o777, 0o600)
})

t.test('a backup that is interrupted leaves nothing behind', async (t) => {
  const directory = scratch(t)
  writeConfig(directory, toCrm)
  const body = Buffer.alloc(1024 * 1024, 32)
  await fill(
    directory,
    Array.from({ length: 60 }, () => ({ body })),
    ['crm'],
  )
  const before = readdirSync(directory).sort()
  const child = spawn(process.execPath, [MAIN, 'backup', 'copy.db'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const partial = () => readdirSync(directory).find((name) => name.endsWith('.partial'))
  await eventually(() => partial() !== undefined && statSync(join(directory, partial()!)).size > 0, 'it has begun')
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  t.equal(code, 1)
  t.equal(stderr, 'interrupted: there is no backup, and nothing was left behind\n')
  t.same(
    readdirSync(directory)
      .filter((name) => !/-(wal|shm)$/.test(name))
      .sort(),
    before.filter((name) => !/-(wal|shm)$/.test(name)),
  )
})

t.test('an outbox that is damaged is not backed up', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, toCrm)
  await fill(
    directory,
    Array.from({ length: 200 }, () => ({ body: Buffer.alloc(4_000, 32) })),
    ['crm'],
  )
  const path = join(directory, 'relay.db')
  const file = readFileSync(path)
  // A page in the middle of the bodies.
  const page = Math.floor(file.length / 4096 / 2)
  file.fill(0x41, page * 4096, (page + 1) * 4096)
  writeFileSync(path, file)
  t.match(await run('backup copy.db'), { code: 1, stdout: '', stderr: /the copy is not sound/ })
  t.same(
    readdirSync(directory).filter((name) => name.includes('copy.db')),
    [],
  )
})

t.test('the commands for upkeep have examples in their help', async (t) => {
  const { run } = commandsIn(scratch(t))
  for (const name of ['backup', 'prune', 'doctor']) {
    const { code, stdout } = await run(`${name} --help`)
    t.equal(code, 0)
    t.match(stdout, new RegExp(`\\nExamples:\\n  ultravox-relay ${name}\\b`))
    t.match(stdout, '--json')
  }
  t.match((await run('prune --help')).stdout, /That an event was there stays\non record for outbox\.retention\.keys/)
})
