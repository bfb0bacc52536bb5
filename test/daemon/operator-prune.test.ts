import { join } from 'node:path'
import t from 'tap'
import { traceIdOf } from '../../src/domain/trace-context.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { attemptAt, newEvent, TRACEPARENT } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, type Row, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const toCrm = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }
const DAY = 86_400_000
const daysAgo = (days: number) => ({ receivedAt: Date.now() - days * DAY })

/** How many rows each table of the outbox in a directory has. */
function rows(directory: string): Record<string, number> {
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  const tables = ['events', 'event_bodies', 'live_deliveries', 'finished_deliveries', 'attempts', 'rejections']
  // Of pruned events only that they were there.
  const whole = (name: string) => (name === 'events' ? 'events where pruned_at is null' : name)
  const counts = tables.map((name) => [
    name,
    database
      .prepare(`select count(*) from ${whole(name)}`)
      .pluck()
      .get(),
  ])
  database.close()
  return Object.fromEntries(counts)
}

function tracestates(directory: string): unknown[] {
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  const all = database.prepare('select tracestate from events order by event_seq').pluck().all()
  database.close()
  return all
}

t.test('old events go with all that belongs to them, beside a running relay, in many small steps', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const many = Array.from({ length: 449 }, () => ({ ...daysAgo(40), traceparent: TRACEPARENT, tracestate: 'a=1' }))
  const body = bodyOf('call.ended', 'known')
  const known = { ...daysAgo(40), callId: 'known', body }
  const [first] = await fill(directory, [...many, known, daysAgo(20)], ['crm'], 'delivered')
  const relay = await startRelay(t, writeConfig(directory, toCrm))
  const dryRun = await run('prune --older-than 30d --dry-run')
  t.match(dryRun, { code: 0, stderr: '' })
  t.match(dryRun.stdout, /^450 events \(\d.* KB\) and 0 rejections from before \d{4}-.*Z would be removed\n$/)
  t.match(await run('prune --older-than 30d'), { code: 2, stdout: '', stderr: /would be removed; say --yes/ })
  t.match(rows(directory), { events: 451 })

  t.match(await json('prune --older-than 30d --yes'), {
    bodiesOnly: false,
    dryRun: false,
    matched: { events: 450, rejections: 0 },
    removed: { events: 450, deliveries: 450, rejections: 0 },
    space: { totalBytes: Number, reusableBytes: Number },
  })
  t.same(rows(directory), {
    events: 1,
    event_bodies: 1,
    live_deliveries: 0,
    finished_deliveries: 1,
    attempts: 1,
    rejections: 0,
  })
  t.match(await run('events replay --yes', first!), { code: 3, stderr: /the body is gone/ })
  t.same([...new Set(tracestates(directory))], [null])
  t.match(await run('prune --older-than 30d'), { code: 0, stdout: /^0 events and 0 rejections removed; / })

  t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  t.match(await json('events list --call known'), { events: [{ duplicates: 1 }] }, 'it is known when it comes again')
})

t.test('what is pending, dead or holds its call back stays', async (t) => {
  const directory = scratch(t)
  const { json, deliveries, run } = commandsIn(directory)
  writeConfig(directory, toCrm)
  await fill(directory, [{ ...daysAgo(40), callId: 'dead' }], ['crm'], 'dead')
  await fill(directory, [{ ...daysAgo(40), callId: 'pending' }], ['crm'])
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  const target = 'held'
  for (const event of ['call.started', 'call.ended']) {
    await outbox.record(newEvent({ ...daysAgo(40), event, callId: 'call' }), [{ target, ordered: true }])
  }
  const [holding] = (await outbox.claim(target, 1, Date.now())).deliveries
  await outbox.settle(holding!, attemptAt(holding!, 'refused'), { state: 'dead', hold: true })
  await outbox.close()

  t.match(await json('prune --older-than 30d --yes'), { removed: { events: 0 } })
  t.match(await json('prune --older-than 30d --dead --dry-run'), { matched: { events: 1 }, removed: { events: 0 } })
  t.match(await json('prune --older-than 30d --dead --yes'), { removed: { events: 1, deliveries: 1 } })
  const left = (await deliveries()).map(({ callId, state }) => [callId, state])
  t.same(left, [
    ['call', 'pending'],
    ['call', 'dead'],
    ['pending', 'pending'],
  ])
  t.match(await run(`deliveries retry ${holding!.deliveryId} --yes`), { code: 0 }, 'it can still be decided about')
})

t.test('without its body an event is known and listed, but not sent again', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const body = Buffer.from('{"event":"call.ended","call":{"callId":"known"}}')
  const trace = { traceparent: TRACEPARENT, tracestate: 'a=1' }
  const events = [
    { ...daysAgo(40), ...trace, callId: 'known', body },
    { ...daysAgo(1), ...trace },
  ]
  const [old, recent] = await fill(directory, events, ['crm'], 'delivered')
  const relay = await startRelay(t, writeConfig(directory, toCrm))
  const pruned = await run('prune --older-than 30d --bodies --yes')
  t.match(pruned, {
    code: 0,
    stdout: /^0 rejections and the bodies of 1 event removed; .* are free to be used again\n$/,
  })
  t.match(rows(directory), { events: 2, event_bodies: 1, finished_deliveries: 2, attempts: 2 })
  t.match(await json('prune --older-than 30d --bodies --yes'), { matched: { events: 0 } }, 'once')
  t.same(tracestates(directory), [null, 'a=1'], 'what else the sender wrote goes with the body')
  t.match(await json(`events show ${old}`), { traceId: traceIdOf(TRACEPARENT) })

  t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  t.match(await json('events list --call known'), { events: [{ eventId: old, duplicates: 1 }] }, 'still recognised')
  t.equal((await deliveries()).length, 2)

  const gone = /the body is gone \(pruned or erased\)/
  t.match(await run('events replay --to crm --yes', old!), { code: 3, stdout: '', stderr: gone })
  t.match(await run('deliveries retry 1 --state delivered --yes'), { code: 3, stdout: '', stderr: gone })
  const replayed = await run('events replay --to crm --since 60d --yes')
  t.match(replayed, { code: 0, stdout: /^1 event replayed to crm: 1 delivery/, stderr: gone })
  const retried = await run('deliveries retry --target crm --state delivered --call known --yes')
  t.match(retried, { code: 1, stdout: 'no deliveries match, nothing was queued for retry\n', stderr: gone })
  t.match(await json('deliveries show 1'), { state: 'delivered', history: [{ attempt: 1 }] })
  t.match(await run('deliveries cancel 1'), { code: 1, stdout: /nothing was cancelled/ })
  t.match((await json('events list')).events, [{ eventId: recent }, { eventId: old }])
})

t.test('old rejections go too, but for kept ones: they may be genuine events', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, toCrm)
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  for (const days of [40, 39, 1]) {
    const kept = { body: Buffer.from(`body ${days}`), contentType: null }
    const rejection = {
      source: 'ultravox',
      reason: 'timestamp_stale',
      requestId: 'req_1',
      peer: '127.0.0.1',
      bytes: 6,
      headers: '{}',
    } as const
    await outbox.reject({ ...rejection, ...daysAgo(days), kept })
    await outbox.reject({ ...rejection, reason: 'signature_missing', ...daysAgo(days), kept: null })
  }
  await outbox.record(newEvent(daysAgo(1)), [])
  await outbox.close()
  t.match(await json('prune --older-than 2d --yes'), { removed: { events: 0, rejections: 2 } })
  t.match(await run('prune --older-than 30'), { code: 2, stderr: /an age such as 2h/ })
  t.match(await run('prune --yes'), { code: 2, stderr: /required option '--older-than/ })
  t.match(rows(directory), { events: 1, rejections: 4 })
  t.match(await json('prune --older-than 1h --bodies --yes'), { removed: { events: 1, rejections: 1 } })
  t.match(await json('prune --older-than 1h --yes'), { removed: { events: 1, rejections: 0 } })
  t.match((await json('rejections list --kept')).rejections, [{ kept: true }, { kept: true }, { kept: true }])
})

t.test('the file gets smaller with --vacuum, only while the relay is stopped', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const large = Array.from({ length: 20 }, () => ({ ...daysAgo(40), body: Buffer.alloc(100_000, 32) }))
  await fill(directory, large, ['crm'], 'delivered')
  const relay = await startRelay(t, writeConfig(directory, toCrm))
  t.match(await run('prune --older-than 30d --yes --vacuum'), {
    code: 1,
    stderr: /stop it first, or leave --vacuum out/,
  })
  t.match(rows(directory), { events: 20 }, 'nothing was done')
  const { space } = (await json('prune --older-than 30d --yes')) as { space: Row }
  t.ok((space.reusableBytes as number) > 1_900_000)
  await relay.end('SIGTERM')
  const vacuumed = (await json('prune --older-than 30d --yes --vacuum')) as { space: Row }
  t.match(vacuumed, { removed: { events: 0 }, space: { reusableBytes: 0 } })
  t.ok((vacuumed.space.totalBytes as number) < 500_000)
})
