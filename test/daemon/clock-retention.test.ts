import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { movedClock } from './moved-clock.ts'
import { commandsIn, service, sources } from './operator-commands.ts'
import { type RelayProcess, startRelay } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const NEEDED = 'needs the Debian package faketime'
const DAY_S = 86_400

/** A relay with the retention of every new configuration, on a clock that a test moves. */
async function movedRelay(t: Test) {
  const directory = scratch(t)
  const clock = movedClock(directory)
  if (clock === null) return null
  const crm = await service(t, true)
  const file = join(directory, 'relay.yaml')
  writeFileSync(
    file,
    stringify({
      server: { listen: '127.0.0.1:0' },
      outbox: { path: './relay.db' },
      sources,
      targets: { crm: crm.target },
      routes: [{ events: ['*'], to: ['crm'] }],
    }),
  )
  const count = (sql: string) => {
    const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
    try {
      return database.prepare(sql).pluck().get() as number
    } finally {
      database.close()
    }
  }
  return {
    clock,
    crm,
    start: () => startRelay(t, file, clock.env),
    /** A command, by the right clock. */
    run: commandsIn(directory).run,
    count,
    /** Recorded after all others, and old by any clock. */
    addOldRejection() {
      const database = openDatabase(join(directory, 'relay.db'))
      database.exec(`
        insert into rejections (source, received_at, reason, request_id, peer, headers)
        values ('ultravox', 1000, 'old', 'r', 'p', '{}')`)
      database.close()
    },
    kept: () => count('select count(*) from rejections where body is not null'),
  }
}

const isHeld = ({ log }: RelayProcess) => log.some(({ msg }) => msg === 'clock was set, retention held')

t.test('kept rejections of a clock that was behind are not deleted when it is set right', async (t) => {
  const moved = await movedRelay(t)
  if (moved === null) return t.plan(0, NEEDED)
  const { clock, start, run, kept } = moved
  clock.set(-10 * DAY_S)
  const behind = await start()
  for (let n = 0; n < 5; n++) {
    t.equal((await send(`${behind.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 401)
  }
  await behind.end('SIGTERM')
  clock.set(0)
  const relay = await start()
  await eventually(() => isHeld(relay), 'it is noticed')
  t.match(
    relay.log.find(({ msg }) => msg === 'clock was set, retention held'),
    { clockOffMs: Number, command: 'clock confirm' },
  )
  const told = /the clock is 10d ahead of the time expected .* ultravox-relay clock confirm/
  const [status, doctor, document, prune, clear, dry, unsure] = await Promise.all([
    run('status'),
    run('doctor'),
    run('status --json'),
    run('prune --older-than 7d --yes'),
    run('rejections clear --kept --until 7d --yes'),
    run('prune --older-than 7d --dry-run'),
    run('clock confirm'),
  ])
  t.match(status.stdout, told)
  t.match(doctor.stdout, /warning +retention +held: the clock is 10d ahead(.|\n)*ultravox-relay clock confirm/)
  t.match(JSON.parse(document.stdout), { outbox: { retentionHeld: { confirmedInMs: Number } } })
  t.match(prune, { code: 2, stderr: told })
  t.match(clear, { code: 2, stderr: told })
  t.equal(dry.code, 0)
  t.match(unsure, { code: 2, stderr: /would be taken as the right time; say --yes/ })
  t.equal(kept(), 5)
  t.match(await run('clock confirm --yes'), { code: 0, stdout: 'confirmed: retention goes by this clock\n' })
  await relay.end('SIGTERM')

  moved.addOldRejection()
  const last = await start()
  await eventually(() => moved.count("select count(*) from rejections where reason = 'old'") === 0, 'retention has run')
  t.notOk(isHeld(last))
  t.equal(kept(), 5, 'their age is counted from when they really came')
})

t.test('a clock that is far ahead for a while costs no event, no body and no identity', async (t) => {
  const moved = await movedRelay(t)
  if (moved === null) return t.plan(0, NEEDED)
  const { clock, crm, start, count } = moved
  const sent = Array.from({ length: 5 }, () => bodyOf('call.ended'))
  const first = await start()
  for (const body of sent) t.equal((await send(`${first.origin}/webhooks/ultravox`, body)).status, 204)
  await eventually(() => crm.received.length === 5, 'delivered')
  await first.end('SIGTERM')
  clock.set(401 * DAY_S)
  const ahead = await start()
  await eventually(() => isHeld(ahead), 'it is noticed')
  await ahead.end('SIGTERM')
  clock.set(0)
  const last = await start()
  for (const body of sent) t.equal((await send(`${last.origin}/webhooks/ultravox`, body)).status, 204)
  await last.end('SIGTERM')
  t.notOk(isHeld(last))
  t.equal(count('select count(*) from event_bodies'), 5)
  t.equal(count('select count(*) from events where duplicates = 1'), 5)
  t.equal(crm.received.length, 5, 'each is delivered once')
})
