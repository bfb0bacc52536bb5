import { join } from 'node:path'
import t from 'tap'
import type { RefusalCode } from '../../src/domain/errors.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, type Row, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

/** Fills an outbox that no relay runs on; those with a body are kept. */
async function reject(directory: string, rejections: readonly { reason?: RefusalCode; body?: string | Buffer }[]) {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const given = {
    source: 'ultravox',
    receivedAt: 1_000,
    requestId: 'req_1',
    peer: '192.0.2.1',
    bytes: 2,
    headers: '{}',
  }
  for (const { reason = 'timestamp_stale', body } of rejections) {
    const kept = body === undefined ? null : { body: Buffer.from(body), contentType: null }
    await outbox.reject({ ...given, reason, kept })
  }
  await outbox.close()
}

const event = (callId: string, name = 'call.ended') => JSON.stringify({ event: name, call: { callId } })

t.test('what was refused as stale is shown, admitted beside a running relay, and delivered', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const crm = await service(t, true)
  const targets = { crm: { ...crm.target, ordered: 'call' }, spare: { ...sink, paused: true } }
  const routes = [
    { events: ['*'], to: ['crm'] },
    { events: ['call.*'], when: 'call.callId > 1', to: ['spare'] },
  ]
  const relay = await startRelay(t, writeConfig(directory, { sources, targets, routes }))
  const url = `${relay.origin}/webhooks/ultravox`
  const old = { signedAt: Date.now() - 3_600_000 }
  const body = bodyOf('call.ended', 'call-1')
  for (const each of [body, bodyOf('call.started', 'call-2')]) t.equal((await send(url, each, old)).status, 401)
  await send(url, body, { secret: 'another' })

  const { rejections } = (await json('rejections list --kept')) as { rejections: Row[] }
  const id = String(rejections[1]!.rejectionId)
  t.match(rejections, [{}, { reason: 'timestamp_stale', peer: '127.0.0.1', times: 1, kept: true, receivedAt: /Z$/ }])
  const shown = await run('rejections show', id)
  t.match(
    shown.stdout,
    /^rejection +\d+, timestamp_stale\ncause +It is validly signed but .*clock.*\nsource +ultravox\n/,
  )
  t.match(shown.stdout, /\nx-ultravox-webhook-timestamp +20.*\n.*\n\n\{\n {2}"event": "call.ended",\n/)
  t.match(shown.stdout, `\nto take it in: ultravox-relay rejections admit ${id}\n`)
  t.equal((await run('rejections show', id, '--payload')).stdout, body.toString())
  t.match(await json('rejections show', id), { cause: /clock/, body: body.toString(), headers: {} })

  t.match(await run('rejections admit --since 1h --dry-run'), {
    code: 0,
    stdout: '2 events would be recorded, 4 deliveries (crm 2, spare 2)\n',
    stderr: /^warning: routes\[1\]\.when fails, taken as true: .* \(rejection \d+\)\n$/,
  })
  t.match(await run('rejections admit --since 1h'), { code: 2, stderr: /2 rejections would be admitted; say --yes/ })
  t.equal(crm.received.length, 0, 'neither did anything')

  const admitted = await run('rejections admit --yes', id)
  t.match(
    admitted.stdout,
    /^rejection \d+: event evt_\S+ recorded\n1 event recorded, 2 deliveries \(crm 1, spare 1\)\n1 delivery queued for spare waits: the configuration pauses it\n$/,
  )
  await eventually(() => crm.received.length === 1, 'the running relay has noticed')
  const eventId = /event (\S+)/.exec(admitted.stdout)![1]!
  t.equal(crm.ids()[0], eventId)
  t.match(await json('events show', eventId), {
    origin: 'webhook',
    callId: 'call-1',
    source: 'ultravox',
    contentType: 'application/json',
    receivedAt: rejections[1]!.receivedAt,
    body: body.toString(),
  })
  t.match(await run('rejections show', id), { code: 3, stderr: /there is no rejection/ })

  await send(url, body, old)
  t.match(await json('rejections admit --source ultravox --yes'), {
    matched: 2,
    dryRun: false,
    admitted: 1,
    duplicates: 1,
    targets: { crm: 1, spare: 1 },
    events: [{ duplicate: false }, { eventId, duplicate: true }],
    refused: [],
  })
  await eventually(() => crm.received.length === 2, 'the new one, and not the duplicate')
  t.match(await json('events show', eventId), { duplicates: 1 })
  t.match(await json('rejections list'), { rejections: [{ reason: 'signature_mismatch', kept: false }], more: false })
})

t.test('what cannot be admitted stays, and the reason is told', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  await reject(directory, [
    { reason: 'signature_mismatch' },
    { reason: 'payload_invalid', body: '{"event":7}\u001b[31m' },
    { body: event('call-1') },
    { body: event('call-1') },
    { body: '[]' },
  ])
  t.match(await run('rejections admit 3 1 --yes'), {
    code: 1,
    stdout: '',
    stderr: /rejection 1 \(signature_mismatch\) cannot be admitted: nothing proves who sent it/,
  })
  const cases: [string, number, RegExp][] = [
    ['rejections admit 3 77 --yes', 3, /there is no rejection 77/],
    ['rejections clear 77 --yes', 3, /there is no rejection 77/],
    ['rejections show 77', 3, /there is no rejection 77/],
    ['rejections show 1 --payload', 3, /the body of rejection 1 was not kept/],
    ['rejections admit --yes', 2, /by their ids or by a filter/],
    ['rejections clear --yes', 2, /by their ids or by a filter/],
    ['rejections list --reason gone', 2, /Allowed choices are signature_missing, .*timestamp_stale/],
    ['rejections show x', 2, /a rejection id is a whole number/],
  ]
  await Promise.all(
    cases.map(async ([line, code, stderr]) => t.match(await run(line), { code, stdout: '', stderr }, line)),
  )
  t.equal(((await json('events list')).events as Row[]).length, 0, 'nothing was done')

  const odd = await run('rejections show 2')
  t.match(
    odd.stdout,
    /\n\{"event":7\} \[31m\n\nit holds no event: the body is not JSON\nto take it in as it is: .* admit 2 --event NAME\n$/,
  )
  t.match((await run('rejections show 1')).stdout, /\nits body was not kept: nothing proves who sent it\n$/)
  t.match(await run('rejections admit --kept --yes'), {
    code: 1,
    stdout: /1 event recorded, 1 delivery to crm\n$/,
    stderr:
      /^2 rejections would be admitted\nrejection \d+ cannot be admitted: the body is not a JSON object\na body .* --event NAME\n$/,
  })
  t.match(await json('rejections list --kept'), { rejections: [{ reason: 'timestamp_stale' }, { rejectionId: 2 }] })

  const usage = [
    ['rejections admit 2 --call call-9 --yes', /give the name of the event too/],
    ['rejections admit 2 --event= --yes', /use 1 to 256 characters/],
    ['rejections admit 2 --event call.* --yes', /invalid name of an event/],
  ] as const
  for (const [line, stderr] of usage) t.match(await run(line), { code: 2, stderr }, line)
  const named = '--event call.ended --call call-9 --yes'
  t.match(await json(`rejections admit 2 ${named}`), { admitted: 1, targets: { crm: 1 }, refused: [] })
  t.match(await json(`rejections admit --kept ${named}`), { admitted: 0, duplicates: 1, refused: [] })
  const { events } = await json('events list --call call-9')
  t.match(
    events,
    [{ event: 'call.ended', callId: 'call-9', duplicates: 1 }],
    'the same call: the second is a duplicate',
  )
})

t.test('a signed body that holds no event is accepted as it is, and reaches what takes it byte for byte', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const crm = await service(t, true)
  const raw = Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0xff, 0xfe, 0x80])
  const targets = { crm: crm.target, filled: { ...crm.target, body: { id: '{{ call.callId }}' } } }
  writeConfig(directory, { sources, targets, routes: [{ events: ['call.*'], to: ['crm', 'filled'] }] })
  await reject(directory, [{ reason: 'payload_invalid', body: raw }])
  t.match(await run('rejections admit 1 --event cal.ended --dry-run'), {
    stdout: '1 event would be recorded, 0 deliveries\n',
    stderr: /no route matches cal\.ended: 1 without a delivery/,
  })
  const config = writeConfig(directory, {
    sources,
    targets,
    routes: [
      { events: ['call.*'], when: '$count(**) > 3', to: ['crm'] },
      { events: ['*'], to: ['filled'] },
    ],
  })
  const admitted = await run('rejections admit 1 --event call.ended --yes')
  t.match(admitted.stderr, /routes\[0\]\.when fails, taken as true/, 'the condition cannot be evaluated')
  await startRelay(t, config)
  await eventually(async () => (await deliveries('--state delivered')).length === 1, 'it has arrived')
  t.same(crm.received[0]!.body, raw)
  await eventually(async () => (await deliveries('--state dead')).length === 1, 'a template cannot be filled in')
  t.match(await deliveries('--target filled'), [{ lastError: 'payload: the body is not JSON' }])
  t.match(await json('events replay --event call.* --yes'), { targets: { crm: 1, filled: 1 } })
})

t.test('kept ones are deleted only by their ids or with --kept', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const noise = Array.from({ length: 501 }, () => ({ reason: 'signature_missing' as const }))
  await reject(directory, [{ body: 'a' }, { body: 'b' }, { body: 'c' }, ...noise])
  t.match(await run('rejections list --limit 1'), { stderr: /newest 1; there are more/, stdout: /^ +ID .*\n504 .*\n$/ })
  const others = 'not among them: 3 rejections with a valid signature (admit, or clear --kept)\n'
  t.match(await run('rejections clear --until 1d --dry-run'), {
    code: 0,
    stdout: '501 rejections would be deleted\n',
    stderr: others,
  })
  t.match(await run('rejections clear --until 1d'), { code: 2, stdout: '', stderr: /say --yes/ })
  t.match(await json('rejections clear --until 1d --yes'), { matched: 501, dryRun: false, cleared: 501 })
  t.match(await run('rejections clear 2 --yes'), { code: 0, stdout: '1 rejection deleted\n' })
  t.match(await json('rejections list'), { rejections: [{ rejectionId: 3 }, { rejectionId: 1 }] })
  t.match(await run('rejections clear --kept --yes'), { code: 0, stdout: '2 rejections deleted\n' })
  t.match(await run('rejections list'), { code: 0, stdout: '', stderr: 'no rejections\n' })
})

t.test('every one of these commands has an example in its help', async (t) => {
  const { run } = commandsIn(scratch(t))
  const helped = async (name: string) => {
    const { stdout } = await run(`rejections ${name} --help`)
    t.match(stdout, new RegExp(`\\nExamples:\\n {2}ultravox-relay rejections ${name}\\b`))
    t.match(stdout, '--json')
  }
  await Promise.all(['list', 'show', 'admit', 'clear'].map(helped))
})
