import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { attemptAt, newEvent, TRACEPARENT, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const config = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }
const NEEDLE = 'Jane Doe, 555-0100'

/** A body about a call, with something in it that nobody else has. */
const about = (callId: string, event = 'call.ended') =>
  Buffer.from(JSON.stringify({ event, call: { callId, summary: NEEDLE.repeat(50) } }))

/** Whether a file of the outbox still has it. */
function holders(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith('relay.db'))
    .filter((name) => !name.endsWith('-recordings') && readFileSync(join(directory, name)).includes(NEEDLE))
}

/** An outbox with all there can be of a call: two events, one delivered and one dead, refused ones, an alert. */
async function filled(directory: string) {
  const outbox: SqliteOutbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message), {
    onRecallRequest: (request) => void outbox.answerRecall(request, []),
  })
  const [ended, billed] = (['call.ended', 'call.billed'] as const).map((event) =>
    newEvent({
      callId: 'jane',
      event,
      body: about('jane', event),
      traceparent: TRACEPARENT,
      tracestate: `a=${NEEDLE}`,
    }),
  )
  for (const event of [ended!, billed!]) await outbox.record(event, to('crm'))
  const { deliveries } = await outbox.claim('crm', 2, 5_000)
  const [first, second] = deliveries
  await outbox.settle(
    first!,
    { ...attemptAt(first!, 'delivered'), response: NEEDLE, note: NEEDLE },
    { state: 'delivered' },
  )
  await outbox.settle(second!, { ...attemptAt(second!, 'refused'), error: `exit 65: ${NEEDLE}` }, { state: 'dead' })
  const alert = { event: 'relay.delivery.dead', delivery: { callId: 'jane', error: `exit 65: ${NEEDLE}` } }
  const own = { source: 'relay', event: alert.event, callId: null, body: Buffer.from(JSON.stringify(alert)) }
  await outbox.record(newEvent(own), [])
  const rejection = {
    source: 'ultravox',
    receivedAt: 1,
    requestId: 'req_1',
    peer: '127.0.0.1',
    bytes: 1,
    headers: '{}',
  }
  const wide = Buffer.from(`\ufeff${about('jane', 'call.joined')}`, 'utf16le')
  for (const body of [about('jane', 'call.joined'), wide, Buffer.from(`no JSON, jane ${NEEDLE}`)]) {
    await outbox.reject({ ...rejection, reason: 'timestamp_stale', kept: { body, contentType: null } })
  }
  const other = Buffer.from('{"event":"call.ended","call":{"callId":"john","metadata":{"parent":"jane"}}}')
  await outbox.reject({ ...rejection, reason: 'timestamp_stale', kept: { body: other, contentType: null } })
  await outbox.record(newEvent({ callId: 'john', body: about('john').fill(65, 50, 60) }), [])
  return { outbox, ended: ended!, billed: billed! }
}

t.test('a call is erased from all files of the outbox, and is still known', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, config)
  const { outbox, ended, billed } = await filled(directory)
  await outbox.close()
  const recordings = join(directory, 'relay.db-recordings')
  mkdirSync(recordings)
  for (const name of [ended.eventId, `${ended.eventId}-0a1b.wav`, `${ended.eventId}0`]) {
    writeFileSync(join(recordings, name), NEEDLE)
  }
  const matched = { events: 3, bodies: 3, answers: 2, attachments: 0, recordings: 2, rejections: 3, unfinished: 0 }
  t.same(await json('erase --call jane --dry-run'), {
    callId: 'jane',
    dryRun: true,
    matched,
    erased: { events: 0, bodies: 0, answers: 0, attachments: 0, recordings: 0, rejections: 0, unfinished: 0 },
    underWay: null,
    deliveredMeanwhile: 0,
    logEmptied: null,
  })
  t.match(await run('erase --call jane'), { code: 2, stdout: '', stderr: /would be erased.*; say --yes/ })
  const { code, stdout, stderr } = await run('erase --call jane --yes')
  t.equal(code, 0)
  t.equal(
    stdout,
    'erased: the bodies of 3 of its 3 events, 2 answers of targets, what was fetched for them, 3 rejections\n',
  )
  t.match(stderr, /backups and replicas made before still have it/)
  t.same(readdirSync(recordings), [`${ended.eventId}0`])

  const john = openDatabase(join(directory, 'relay.db'))
  t.equal(john.prepare("select count(*) from event_log where call_id = 'john' and body is not null").pluck().get(), 1)
  t.equal(
    john.prepare('select count(*) from rejections').pluck().get(),
    1,
    'the other call’s, which only names this one',
  )
  // The other call's own copy of the words, so that the files can be searched for them.
  john.pragma('secure_delete = on')
  john.exec("delete from event_bodies where event_seq = (select event_seq from events where call_id = 'john')")
  john.pragma('wal_checkpoint(truncate)')
  john.close()
  t.same(holders(directory), [])
  t.match(await json('calls show jane'), {
    events: [
      {
        eventId: ended.eventId,
        bytes: null,
        deliveries: [{ state: 'delivered', history: [{ response: null, error: null, note: null }] }],
      },
      {
        eventId: billed.eventId,
        deliveries: [{ state: 'dead', lastError: 'erased', history: [{ error: 'erased', response: null }] }],
      },
    ],
  })
  t.match(await run('deliveries retry 2 --yes'), { code: 3, stderr: /the body is gone \(pruned or erased\)/ })
  t.match(await run('erase --call jane'), { code: 0, stdout: 'nothing is left of call jane to erase\n' }, 'no question')
})

t.test('unfinished deliveries keep a call from being erased, unless they are given up', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const crm = await service(t, true)
  const targets = { crm: { ...crm.target, paused: true } }
  const relay = await startRelay(t, writeConfig(directory, { ...config, targets }))
  const url = `${relay.origin}/webhooks/ultravox`
  const body = about('jane')
  t.equal((await send(url, body)).status, 204)
  t.equal((await send(url, bodyOf('call.ended', 'john'))).status, 204)
  const unfinished = /1 delivery of it is unfinished .*wait for their end, or say --cancel/
  t.match(await run('erase --call jane --yes'), { code: 2, stdout: '', stderr: unfinished })
  t.match(await run('erase --call jane --dry-run'), { code: 0, stdout: /the bodies of 1 of/, stderr: unfinished })
  const erased = await run('erase --call jane --cancel --yes')
  t.match(erased, { code: 0, stdout: /^erased: the bodies of 1 of its 1 event/, stderr: /and 1 delivery cancelled/ })
  t.same(holders(directory), [], 'beside a running relay')
  t.match((await json('deliveries list --call jane')).deliveries, [{ state: 'cancelled' }])
  t.equal((await send(url, body)).status, 204)
  t.match((await json('events list --call jane')).events, [{ duplicates: 1 }], 'what comes again is not stored')
  t.same(holders(directory), [])
  await run('targets resume crm')
  writeConfig(directory, { ...config, targets: { crm: crm.target } })
  t.match(await run('reload'), { code: 0 })
  await eventually(() => crm.received.length === 1, 'the other call’s delivery goes out')
  t.equal(crm.received[0]!.headers['x-relay-call-id'], 'john')
})

t.test('a program that reads the outbox keeps copies in its log, and that is said', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, config)
  const { outbox } = await filled(directory)
  t.teardown(() => outbox.close())
  const reader = openDatabase(join(directory, 'relay.db'), { readonly: true })
  reader.exec('begin')
  reader.prepare('select count(*) from events').get()
  const held = await run('erase --call jane --yes --json')
  t.match(held, {
    code: 1,
    stderr: /a program that reads the outbox keeps older copies in its log: end it \(fuser -v \//,
  })
  t.match(JSON.parse(held.stdout), { logEmptied: false, erased: { bodies: 3 } })
  await outbox.record(newEvent(), [])
  reader.close()
  t.match(await json('erase --call jane --yes'), { logEmptied: true })
})

t.test('a delivery that is new since it was asked is not given up by itself', async (t) => {
  const directory = scratch(t)
  const { outbox } = await filled(directory)
  await outbox.record(newEvent({ callId: 'jane', event: 'call.joined' }), to('crm'))
  await outbox.close()
  const maintenance = SqliteMaintenance.open(join(directory, 'relay.db'))
  t.teardown(() => maintenance.close())
  await t.rejects(maintenance.erase('jane', false, 9_000), { code: 'usage' })
  t.match(await maintenance.findErasable('jane'), { bodies: 4, unfinished: 1 }, 'nothing was erased')
  t.match(await maintenance.erase('jane', true, 9_000), { bodies: 4, logEmptied: true })
  t.match(await maintenance.findErasable('jane'), { bodies: 0, answers: 0, rejections: 0, unfinished: 0 })
})

t.test('wrong input is told', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, config)
  t.match(await run('erase --call jane'), { code: 1, stderr: /there is no outbox at/ })
  const { outbox } = await filled(directory)
  await outbox.close()
  t.match(await run('erase'), { code: 2, stderr: /required option '--call <id>'/ })
  t.match(await run('erase', '--call', ''), { code: 2, stderr: /--call is empty/ })
  t.match(await run('erase', '--call', 'jan'), {
    code: 3,
    stderr: /nothing is known of a call jan; write the whole id/,
  })
  const odd = await run('erase', '--call', 'x\n\u001b[31my')
  t.equal(odd.code, 3)
  t.equal(odd.stderr.split('\n').length, 2, 'one line')
  t.notOk(odd.stderr.includes('\u001b'))
  t.match(await run('erase --call jane --yes --dry-run'), { code: 2, stderr: /cannot be used with/ })
  t.match((await run('erase --help')).stdout, /Backups and replicas made before still have them[\s\S]*Examples:/)
})

t.test('what a target says of a call that is erased by then is in no log, attempt or alert', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  // Its error is the last line that it prints.
  const hang = 'case "$body" in *hanging*) touch begun; while [ ! -e go ]; do sleep 0.02; done;; esac'
  const hook = ['sh', '-c', `body=$(cat); ${hang}; echo "$body" >&2; exit 65`]
  const targets = { hook: { type: 'exec', command: hook } }
  const routes = [{ events: ['call.*'], to: ['hook'] }]
  const relay = await startRelay(t, writeConfig(directory, { sources, targets, routes }))
  const quoting = (callId: string, word: string) =>
    Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId, word } }))
  const record = (callId: string, word: string) => send(`${relay.origin}/webhooks/ultravox`, quoting(callId, word))
  const dead = async () => (await deliveries('--state dead')).length
  await record('other', 'told at once')
  await eventually(async () => (await dead()) === 1, 'its alert begins the time in which others are folded')
  await record('jane', 'folded-words')
  await eventually(async () => (await dead()) === 2, 'its alert is folded')
  await record('jim', 'hanging-words')
  await eventually(() => existsSync(join(directory, 'begun')), 'the hook runs')
  t.match(await run('erase --call jane --yes'), { code: 0 })
  t.match(await run('erase --call jim --cancel --yes'), { code: 0, stderr: /; 1 is being sent now/ })
  writeFileSync(join(directory, 'go'), '')
  await eventually(() => relay.log.some(({ settled }) => settled !== undefined), 'the attempt has ended')
  t.match(
    relay.log.find(({ settled }) => settled !== undefined),
    { settled: 'erased', callId: 'jim', error: 'erased' },
  )
  // Folded alerts are recorded at the end.
  const { stdout } = await relay.end('SIGTERM')
  t.notMatch(stdout, 'hanging-words')
  const outbox = openDatabase(join(directory, 'relay.db'))
  const alerts = outbox
    .prepare("select cast(body as text) from event_log where event = 'relay.delivery.dead'")
    .pluck()
    .all()
  const attempts = outbox.prepare('select error from attempts').pluck().all()
  outbox.close()
  t.match(alerts, [/told at once/, / is dead after 1 attempt: erased.*"callId":"jane"/])
  t.notMatch(alerts.join(), 'folded-words')
  t.match(attempts, [/told at once/, 'erased', 'erased'])
})
