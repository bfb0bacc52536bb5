import { dirname, join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { API_KEY } from '../ultravox/fake-api.ts'
import type { Row } from './operator-commands.ts'
import { liveThrough, surroundings } from './reconciled-relay.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { SECRET } from './ultravox-sender.ts'

t.test('backfill fetches what is missing of a time, once', async (t) => {
  const { api, config, delivered, json, run } = await surroundings(t, { pageSize: 2 }, { reconcile: undefined })
  for (const callId of ['a', 'b', 'c']) liveThrough(api, callId)
  api.calls.delete('b')
  const started = await startRelay(t, config)
  await started.end('SIGTERM')
  t.equal(api.requests.length, 0, 'without reconcile nothing is asked')
  const from = new Date(Date.now() - 3_600_000).toISOString()
  // The grace is over for calls of the time before it.
  t.match(await run(`backfill --from ${from} --dry-run`), { code: 0, stdout: /^2 calls created from / })

  writeConfig(dirname(config), {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'exec', command: ['cat'] }, other: { type: 'exec', command: ['cat'] } },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['never.*'], to: ['other'] },
    ],
    ultravox: {
      apiKey: API_KEY,
      baseUrl: api.baseUrl,
      reconcile: { every: '1d', grace: '0s', source: 'ultravox' },
    },
  })
  const seen = { there: 0, missing: 2, recorded: 0, unrecoverable: 0, tooRecent: 0, notHappened: 1 }
  const gone = { there: 0, missing: 3, recorded: 0, unrecoverable: 1, tooRecent: 0, notHappened: 0 }
  t.match(await json(`backfill --from ${from} --dry-run`), {
    calls: 2,
    events: { 'call.started': gone, 'call.joined': gone, 'call.ended': gone, 'call.billed': seen },
  })
  t.same((await json('events list')).events, [], 'nothing was recorded')
  t.match(await json(`backfill --from ${from} --events call.ended --to-target other`), {
    events: { 'call.ended': { ...gone, recorded: 2 } },
  })
  const { stdout } = await run(`backfill --from ${from}`)
  t.match(stdout, /^EVENT +THERE +MISSING +RECORDED +LOST +TOO RECENT +NOT HAPPENED$/m)
  t.match(stdout, /^call\.ended +2 +1 +0 +1 +0 +0$/m)
  t.match(stdout, /^call\.billed +0 +2 +2 +0 +0 +1$/m)
  const { deliveries } = await json('deliveries list')
  t.equal((deliveries as Row[]).filter(({ target }) => target === 'other').length, 2)
  t.equal((deliveries as Row[]).filter(({ target }) => target === 'crm').length, 6)
  const { eventId } = (deliveries as Row[])[0]!
  t.match(await json(`events show ${eventId}`), { traceId: /^[0-9a-f]{32}$/ })
  t.equal(delivered().length, 0)
  t.match(await json(`backfill --from ${from}`), { events: { 'call.billed': { there: 2, missing: 0, recorded: 0 } } })
})

t.test('a backfill that is cut off goes on where it was', async (t) => {
  const { api, config, json, run } = await surroundings(t, { pageSize: 1, order: 'oldest first' })
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  for (const callId of ['a', 'b', 'c', 'd']) liveThrough(api, callId)
  const time = `--from ${new Date(Date.now() - 60_000).toISOString()} --to ${new Date().toISOString()}`
  const before = api.requests.length
  api.misbehave({ kind: 'answer', status: 403 }, { when: () => api.requests.length === before + 3 })
  const cut = await run(`backfill ${time}`)
  t.match(cut, { code: 1, stderr: /cut off after 2 calls\. To continue: backfill --from \S+ --to \S+$/m })
  const rest = await run(`backfill ${time}`)
  t.match(rest, { code: 0, stderr: /continuing where it was cut off/, stdout: /^2 calls created from / })
  t.equal(((await json('events list')).events as Row[]).length, 16)
})

t.test('every call listed is in one column, those whose events are too recent in their own', async (t) => {
  const { api, config, json, run } = await surroundings(
    t,
    {},
    { reconcile: { every: '1d', grace: '20m', source: 'ultravox' } },
  )
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  for (const callId of ['a', 'b', 'c']) liveThrough(api, callId)
  api.calls.create({ callId: 'unjoined' })
  api.calls.end('unjoined')
  api.calls.create({ callId: 'running' })
  api.calls.delete('c')
  const sums = (document: Row) =>
    Object.values(document.events as Record<string, Record<string, number>>).map(
      ({ there, missing, tooRecent, notHappened, unreadable }) =>
        there! + missing! + tooRecent! + notHappened! + unreadable!,
    )
  const young = await run('backfill --from 1h')
  t.match(young, {
    code: 0,
    stdout: /^4 calls created from \S+Z to \S+Z\n1 deleted call of that period; times are in UTC$/m,
  })
  t.match(young.stdout, /^EVENT +THERE +MISSING +RECORDED +LOST +TOO RECENT +NOT HAPPENED$/m)
  t.match(young.stdout, /^call\.joined +0 +0 +0 +0 +3 +2$/m)
  t.match(young.stderr, /^\d+ events younger than 20m may still arrive: repeat it later, or pass --grace 0s$/m)
  for (const line of young.stdout.split('\n')) t.ok(line.length <= 80, line)
  const before = await json('backfill --from 1h')
  t.match(before, {
    calls: 4,
    deletedCalls: 1,
    events: { 'call.started': { tooRecent: 5 }, 'call.billed': { tooRecent: 2 } },
  })
  t.same(sums(before), [5, 5, 5, 5])
  const after = await json('backfill --from 1h --grace 0s')
  t.match(after, { events: { 'call.started': { missing: 5, recorded: 4, unrecoverable: 1, tooRecent: 0 } } })
  t.same(sums(after), [5, 5, 5, 5])

  api.calls.override('a', { billingStatus: 'BILLING_STATUS_OF_TOMORROW' })
  t.match(await run('backfill --from 1h --grace 0s'), {
    code: 0,
    stderr: /^1 call could not be read in full, such as a: .*unknown value$/m,
  })
  api.calls.create({ callId: 'odd', fields: { ended: 7 } })
  const unclear = await run('backfill --from 1h --grace 0s')
  t.match(unclear, {
    code: 1,
    stderr: /^2 calls could not be read in full, such as odd: GET \/api\/calls: results\.\d\.ended: /m,
  })
  t.same(sums(JSON.parse((await run('backfill --from 1h --grace 0s --json')).stdout) as Row), [6, 6, 6, 6])
  for (const line of unclear.stdout.split('\n')) t.ok(line.length <= 80, line)
})

t.test('a date is a whole day, in UTC or in the zone it has', async (t) => {
  const { api, config, json, run } = await surroundings(t)
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  const asked = () => api.requests.at(-1)!.query
  t.match(await json('backfill --from 2026-01-15 --to 2026-01-15'), {
    from: '2026-01-15T00:00:00.000Z',
    to: '2026-01-15T23:59:59.999Z',
  })
  t.match(asked(), { fromDate: '2026-01-15T00:00:00.000Z', toDate: '2026-01-15T23:59:59.999999Z' })
  const zoned = await run('backfill --from 2026-01-15+02:00 --to 2026-01-15+02:00')
  t.match(zoned.stdout, /^0 calls created from 2026-01-14T22:00:00\.000Z to 2026-01-15T21:59:59\.999Z\n/)
  t.match(zoned.stdout, /^times are in UTC, dates are whole days in \+02:00$/m)
  t.match(await json('backfill --from 2026-01-15T08:00 --to 2026-01-15T09:30Z'), {
    from: '2026-01-15T08:00:00.000Z',
    to: '2026-01-15T09:30:00.000Z',
  })
})

t.test('what is on record is not sent by --to-target, and backfill says which command sends it', async (t) => {
  const { api, config, json, run } = await surroundings(t)
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  liveThrough(api, 'a')
  await run('backfill --from 1h')
  const { stderr, stdout } = await run('backfill --from 1h --to-target ops')
  t.match(stdout, /^call\.ended +1 +0 +0 +0 +0 +0$/m)
  const command =
    /^4 events already on record, not sent\. To send what is on record: (events replay --to ops --since \S+)$/m
  t.match(stderr, command)
  t.match(await run(`${command.exec(stderr)![1]} --yes`), { code: 0 })
  const { deliveries } = await json('deliveries list --target ops')
  t.equal((deliveries as Row[]).length, 4)
})

t.test('backfill follows pages by their cursor alone, and records each before it asks for the next', async (t) => {
  const { api, config, json, run } = await surroundings(t, { pageSize: 2, pathPrefix: '/gateway' })
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  for (const callId of ['a', 'b', 'c', 'd', 'e']) liveThrough(api, callId)
  const recorded = async () => ((await json('events list')).events as Row[]).length
  api.misbehave({ kind: 'next', to: () => ({}) }, { when: ({ path }) => path === '/gateway/api/calls' })
  t.match(await run('backfill --from 1h'), { code: /[1-9]/, stderr: /next has no cursor in it/ })
  t.equal(await recorded(), 8, 'the first page')
  const to = (next: string | null) => next?.replace(/^http:\/\/[^/]+\/gateway/, 'https://api.ultravox.test')
  api.misbehave({ kind: 'next', to }, { times: 100 })
  t.match(await run('backfill --from 1h'), { code: 0 })
  t.equal(await recorded(), 20)
})

t.test('backfill says what is wrong with its words', async (t) => {
  const { config, run } = await surroundings(t)
  const started = await startRelay(t, config)
  await started.end('SIGTERM')
  t.match(await run('backfill'), { code: 2, stderr: /required option '--from <time>' not specified/ })
  t.match(await run('backfill --from 1h --events call.bogus'), { code: 2, stderr: /write some of call\.started, / })
  t.match(await run('backfill --from 1h --to 2h'), { code: 2, stderr: /--to .+ is before --from / })
  const future = await run('backfill --from 2090-01-01')
  t.match(future, {
    code: 2,
    stdout: '',
    stderr: /--from 2090-01-01T00:00:00\.000Z is in the future .*: check the year/,
  })
  t.match(await run('backfill --from 1h --grace soon'), { code: 2, stderr: /write a duration such as 30s/ })
  t.match(await run('backfill --from 1h --to-target cmr'), { code: 2, stderr: /there is no target "cmr"/ })
  writeConfig(dirname(config), {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  t.match(await run('backfill --from 1h'), { code: 2, stderr: /says nothing of Ultravox's API: add ultravox: / })
})
