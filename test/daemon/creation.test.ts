import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../scratch.ts'
import { commandsIn, sink, sources } from './operator-commands.ts'
import { runRelay, startRelay, writeConfig } from './relay-process.ts'

const NEW = 'created a new outbox'

t.test('a relay that creates its outbox logs a warning, and status and metrics show when', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const { run, json } = commandsIn(directory)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: sink },
    routes: [{ events: ['*'], to: ['crm'] }],
    admin: { listen: '127.0.0.1:0' },
  })
  const first = await startRelay(t, config)
  t.match(
    first.log.filter(({ msg }) => [NEW, 'relay started'].includes(msg)),
    [
      { msg: NEW, level: 'warn', outbox: path },
      { msg: 'relay started', outbox: path },
    ],
  )
  const { createdAt } = (await json('status')).outbox as { createdAt: string }
  t.match((await run('status')).stdout, `exists since ${createdAt}`)
  const { listen } = first.log.find(({ msg }) => msg === 'admin listener opened')!
  const metrics = await (await fetch(`http://${listen}/metrics`)).text()
  const seconds = Number(/^ultravox_relay_outbox_created_timestamp_seconds (\S+)$/m.exec(metrics)![1])
  t.equal(seconds, Date.parse(createdAt) / 1_000)
  t.match((await run('doctor')).stdout, `exists since ${createdAt}`)
})

t.test('without createIfMissing only `serve --create` creates an outbox, and no command does', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'data', 'relay.db')
  const { run } = commandsIn(directory)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: sink },
    routes: [{ events: ['*'], to: ['crm'] }],
    outbox: { path: './data/relay.db', createIfMissing: false },
  })
  const commands = [
    'status',
    'tail',
    'events list',
    'events gaps',
    'events replay evt_1 --yes',
    'calls show c',
    'deliveries list',
    'deliveries retry 1 --yes',
    'rejections list',
    'rejections clear --until 7d --yes',
    'targets pause crm',
    'clock confirm --yes',
    'prune --older-than 1d --vacuum --yes',
    'erase --call c --yes',
    'backup copy.db',
    'reload',
    'doctor',
  ]
  for (const line of commands) t.match(await run(line), { code: 1 }, line)
  t.match((await run('doctor')).stdout, /problem +outbox +there is none at .*the relay does not start/)
  t.match(await runRelay(['serve'], directory), {
    code: 1,
    stderr: /there is no outbox at \S+relay\.db, and outbox\.createIfMissing is false.*ultravox-relay serve --create/,
  })
  t.same(readdirSync(directory), ['relay.yaml'])
  const relay = await startRelay(t, config, {}, undefined, ['--create'])
  t.ok(existsSync(path))
  t.ok(relay.log.some(({ msg }) => msg === NEW))
})
