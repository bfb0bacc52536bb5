import t from 'tap'
import { Pool } from 'undici'
import { RelayError } from '../../src/domain/errors.ts'
import { bodyHash } from '../../src/domain/event.ts'
import { SIGNATURE, sign, TIMESTAMP } from '../sources/signed-request.ts'
import { headOf } from './raw-http.ts'
import { OPEN_PATH, SAMPLE, SECRET, TrialListener } from './trial-listener.ts'

const unavailable = new RelayError('outbox_unavailable', 'database or disk is full')

t.test('a genuine new event is answered 204 and empty, and recorded whole', async (t) => {
  const trial = await TrialListener.start(t)
  const answer = await trial.genuine(SAMPLE, { headers: { 'Content-Type': 'application/json' } })
  t.match(answer, { status: 204, body: '' })
  t.notOk('content-type' in answer.headers)
  t.same(trial.outbox.recorded, [
    {
      event: {
        eventId: 'evt_1',
        source: 'ultravox',
        account: 'default',
        event: 'call.ended',
        callId: 'c-1',
        receivedAt: trial.clock.at,
        origin: 'webhook',
        contentType: 'application/json',
        body: Buffer.from(SAMPLE),
        traceparent: trial.outbox.recorded[0]!.event.traceparent,
        tracestate: null,
        via: null,
      },
      targets: ['crm', 'archive'],
    },
  ])
  t.match(trial.outbox.recorded[0]!.event.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/, 'a trace begins with it')
  t.same(trial.outbox.rejections, [])
  t.match(trial.answered, [{ status: 204, receipt: { kind: 'recorded', eventId: 'evt_1', duplicate: false } }])
})

t.test('204 is answered only once the event is on disk', async (t) => {
  const trial = await TrialListener.start(t)
  const release = trial.hold()
  const begun = trial.outbox.nextCall()
  let answered = false
  const answer = trial.genuine().finally(() => {
    answered = true
  })
  await begun
  await trial.otherTraffic()
  t.notOk(answered)
  release()
  t.equal((await answer).status, 204)
  t.equal(trial.outbox.recorded.length, 1)
})

t.test('an event seen before is answered 204 again, and wakes nobody', async (t) => {
  const trial = await TrialListener.start(t)
  await trial.genuine()
  trial.clock.at += 30_000
  t.match(await trial.genuine(), { status: 204, body: '' })
  t.equal(trial.outbox.recorded.length, 1)
  t.equal(trial.outbox.duplicates.length, 1)
  t.match(trial.answered.at(-1)?.receipt, { kind: 'recorded', eventId: 'evt_1', duplicate: true })
})

t.test('1,000 copies at once are all answered 204, and one is recorded', async (t) => {
  const trial = await TrialListener.start(t)
  const pool = new Pool(`http://127.0.0.1:${trial.port}`, { connections: 50 })
  const headers = trial.signed(SAMPLE)
  const post = async () => {
    const answer = await pool.request({ method: 'POST', path: '/webhooks/ultravox', headers, body: SAMPLE })
    return `${answer.statusCode}${await answer.body.text()}`
  }
  t.same([...new Set(await Promise.all(Array.from({ length: 1_000 }, post)))], ['204'])
  t.equal(trial.outbox.recorded.length, 1)
  t.equal(trial.outbox.duplicates.length, 999)
  await pool.close()
})

t.test('an event of an unknown name, without a call id or for no target, is recorded like any other', async (t) => {
  const trial = await TrialListener.start(t, { route: async () => [] })
  t.equal((await trial.genuine('{"event":"agent.paused"}')).status, 204)
  t.equal((await trial.genuine('{"event":"agent.paused" }')).status, 204, 'another body is another event')
  t.match(trial.outbox.recorded, [
    { event: { event: 'agent.paused', callId: null }, targets: [] },
    { event: { event: 'agent.paused', callId: null }, targets: [] },
  ])
})

t.test('a source without verification takes what nobody signed', async (t) => {
  const trial = await TrialListener.start(t)
  t.equal((await trial.unsigned({ path: OPEN_PATH })).status, 204)
  t.match(trial.outbox.recorded, [{ event: { source: 'open', callId: 'c-1' } }])
})

const NOW = '2026-01-15T12:00:00.000Z'
const RIGHT = sign(SECRET, Buffer.from(SAMPLE), NOW)
const WRONG = '0'.repeat(64)
const UNSIGNED: { what: string; code: string; headers: Record<string, string | string[]> }[] = [
  { what: 'no signature', code: 'signature_missing', headers: { [TIMESTAMP]: NOW } },
  {
    what: 'a signature that is no digest',
    code: 'signature_malformed',
    headers: { [TIMESTAMP]: NOW, [SIGNATURE]: 'x' },
  },
  { what: 'an empty signature', code: 'signature_malformed', headers: { [TIMESTAMP]: NOW, [SIGNATURE]: '' } },
  { what: 'a wrong signature', code: 'signature_mismatch', headers: { [TIMESTAMP]: NOW, [SIGNATURE]: WRONG } },
  { what: 'no timestamp', code: 'timestamp_missing', headers: { [SIGNATURE]: RIGHT } },
  { what: 'garbage for a timestamp', code: 'timestamp_malformed', headers: { [TIMESTAMP]: 'x', [SIGNATURE]: RIGHT } },
  { what: 'two timestamps', code: 'timestamp_duplicated', headers: { [TIMESTAMP]: [NOW, NOW], [SIGNATURE]: RIGHT } },
]

for (const { what, code, headers } of UNSIGNED) {
  t.test(`a request with ${what} is answered 401 ${code}, and recorded without its body`, async (t) => {
    const trial = await TrialListener.start(t)
    const answer = await trial.unsigned({ headers })
    t.equal(answer.status, 401)
    t.match(answer.headers['content-type'], /^application\/json\b/)
    const { error, message, ...rest } = JSON.parse(answer.body)
    t.equal(error, code)
    t.type(message, 'string')
    t.same(rest, {})
    const [rejection, ...others] = trial.outbox.rejections
    t.same(others, [])
    const seen = Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, [values].flat().join(', ')]))
    t.same(JSON.parse(rejection!.headers), seen)
    t.match(rejection, { source: 'ultravox', reason: code, peer: '127.0.0.1', bytes: SAMPLE.length, kept: null })
    t.equal(rejection!.receivedAt, trial.clock.at)
    t.same(trial.outbox.recorded, [])
    t.match(trial.answered, [{ status: 401, receipt: { kind: 'refused', code } }])
  })
}

t.test('two signature headers are taken where one of them is right', async (t) => {
  const trial = await TrialListener.start(t)
  const headers = { [TIMESTAMP]: NOW, [SIGNATURE]: [WRONG, RIGHT] }
  t.equal((await trial.unsigned({ headers })).status, 204)
})

t.test('what is recorded of a long header is cut', async (t) => {
  const trial = await TrialListener.start(t)
  await trial.unsigned({ headers: { [TIMESTAMP]: NOW, [SIGNATURE]: 'x'.repeat(10_000) } })
  t.equal(JSON.parse(trial.outbox.rejections[0]!.headers)[SIGNATURE], 'x'.repeat(500))
})

t.test('noise is answered even where it cannot be recorded', async (t) => {
  const trial = await TrialListener.start(t)
  trial.failWith(unavailable)
  t.equal((await trial.unsigned()).status, 401)
  trial.hold()
  t.equal((await trial.unsigned()).status, 401, 'and not waited for')
  t.same(trial.failures, [])
})

const KEPT = [
  { what: 'signed too long ago', ageMs: 60_001, body: SAMPLE, status: 401, code: 'timestamp_stale' },
  { what: 'signed too far in the future', ageMs: -60_001, body: SAMPLE, status: 401, code: 'timestamp_stale' },
  { what: 'signed with a body that is no JSON', ageMs: 0, body: 'no JSON', status: 400, code: 'payload_invalid' },
  { what: 'signed with a body that is no object', ageMs: 0, body: '[1]', status: 400, code: 'payload_invalid' },
  { what: 'signed with no event in it', ageMs: 0, body: '{"call":{}}', status: 400, code: 'payload_invalid' },
  { what: 'signed with an empty body', ageMs: 0, body: '', status: 400, code: 'payload_invalid' },
]

for (const { what, ageMs, body, status, code } of KEPT) {
  t.test(`a request ${what} is kept with its body before it is answered ${status} ${code}`, async (t) => {
    const trial = await TrialListener.start(t)
    const release = trial.hold()
    const begun = trial.outbox.nextCall()
    let answered = false
    const headers = { ...trial.signed(body, ageMs), 'Content-Type': 'text/x; q=1' }
    const pending = trial.send({ body, headers }).finally(() => {
      answered = true
    })
    await begun
    await trial.otherTraffic()
    t.notOk(answered)
    release()
    const answer = await pending
    t.equal(answer.status, status)
    t.same(Object.keys(JSON.parse(answer.body)), ['error', 'message'])
    t.equal(JSON.parse(answer.body).error, code)
    t.match(trial.outbox.rejections, [{ source: 'ultravox', reason: code, peer: '127.0.0.1', bytes: body.length }])
    t.same(trial.outbox.rejections[0]!.kept, { body: Buffer.from(body), contentType: 'text/x; q=1' })
    t.equal(trial.outbox.rejections.length, 1)
    t.same(trial.outbox.recorded, [])
  })

  t.test(`a request ${what} that cannot be kept is answered 503, to be sent again`, async (t) => {
    const trial = await TrialListener.start(t)
    trial.failWith(unavailable)
    const answer = await trial.send({ body, headers: trial.signed(body, ageMs) })
    t.match(answer, { status: 503, headers: { 'retry-after': '10' } })
    t.equal(JSON.parse(answer.body).error, 'outbox_unavailable')
    t.same(trial.outbox.rejections, [])
  })
}

t.test(
  'an event that cannot be recorded is answered 503 with Retry-After, and taken when it comes again',
  async (t) => {
    const trial = await TrialListener.start(t)
    for (const code of ['outbox_unavailable', 'outbox_failed'] as const) {
      trial.failWith(new RelayError(code, 'database or disk is full'))
      const answer = await trial.genuine()
      t.match(answer, { status: 503, headers: { 'retry-after': '10' } }, code)
      t.equal(JSON.parse(answer.body).error, 'outbox_unavailable')
      t.notMatch(answer.body, /disk/, 'the storage’s own words are for the log')
      t.match(trial.answered.at(-1)?.receipt, { code: 'outbox_unavailable', detail: 'database or disk is full' })
    }
    trial.failWith(null)
    t.equal((await trial.genuine()).status, 204)
    t.equal(trial.outbox.recorded.length, 1)
    t.same(trial.outbox.rejections, [], 'our own trouble is no rejection')
  },
)

t.test('while too many requests wait for the outbox, more are answered 503 overloaded with Retry-After', async (t) => {
  const trial = await TrialListener.start(t, { admission: { requests: 2, bytes: 1_000_000 } })
  const release = trial.hold()
  const waiting: Promise<{ status: number }>[] = []
  for (const id of ['a', 'b']) {
    const begun = trial.outbox.nextCall()
    waiting.push(trial.genuine(`{"event":"x","call":{"callId":"${id}"}}`))
    await begun
  }
  const answer = await trial.genuine('{"event":"x","call":{"callId":"c"}}')
  t.match(answer, { status: 503, headers: { 'retry-after': '10' } })
  t.equal(JSON.parse(answer.body).error, 'overloaded')
  release()
  for (const { status } of await Promise.all(waiting)) t.equal(status, 204)
  t.equal((await trial.genuine('{"event":"x","call":{"callId":"c"}}')).status, 204)
  t.equal(trial.outbox.recorded.length, 3)
})

t.test('an unexpected failure is answered 500 without its words, and told', async (t) => {
  const bug = new TypeError('secret inner detail')
  const trial = await TrialListener.start(t, {
    receive: async () => {
      throw bug
    },
  })
  const answer = await trial.genuine()
  t.equal(answer.status, 500)
  t.equal(JSON.parse(answer.body).error, 'internal')
  t.notMatch(answer.body, /secret/)
  t.equal(trial.failures.length, 1)
  t.equal(trial.failures[0], bug)
})

t.test('a failing outbox that throws something unknown is answered 500, and told', async (t) => {
  const trial = await TrialListener.start(t)
  trial.failWith(new Error('no RelayError'))
  t.equal((await trial.genuine()).status, 500)
  t.match(trial.failures, [{ message: 'no RelayError' }])
})

t.test('an answer never shows what was sent', async (t) => {
  const trial = await TrialListener.start(t)
  const answers = [
    await trial.unsigned({ path: '/nowhere/<script>?token=hidden', body: 'hidden' }),
    await trial.unsigned({ path: '/%hidden', body: 'hidden' }),
    await trial.genuine('hidden'),
    await trial.unsigned({ body: 'hidden', headers: { [SIGNATURE]: 'hidden', [TIMESTAMP]: 'hidden' } }),
  ]
  for (const { body } of answers) t.notMatch(body, /hidden|<script>/)
})

t.test('each request is told of once', async (t) => {
  const trial = await TrialListener.start(t)
  await trial.genuine()
  await trial.unsigned()
  await trial.send({ path: '/nowhere' })
  await trial.send({ method: 'GET', path: '/healthz' })
  t.match(trial.answered, [
    { status: 204, receipt: { kind: 'recorded' } },
    { status: 401, receipt: { kind: 'refused', code: 'signature_missing' } },
    { status: 404, receipt: { kind: 'refused', code: 'not_found' } },
    { status: 200, receipt: null },
  ])
})

t.test('the stand-in counts events without a call id by their bodies, as the outbox does', async (t) => {
  const trial = await TrialListener.start(t)
  await trial.genuine('{"event":"x"}')
  await trial.genuine('{"event":"x"}')
  t.equal(trial.outbox.recorded.length, 1)
  t.equal(bodyHash(trial.outbox.recorded[0]!.event.body), bodyHash(Buffer.from('{"event":"x"}')))
})

t.test('an idle connection stays open for as long as is configured, also after a reload', async (t) => {
  const trial = await TrialListener.start(t, { keepAliveTimeoutMs: 1_000 })
  const idle = await trial.connect()
  idle.write(headOf({ method: 'GET', path: '/healthz' }))
  t.match((await idle.answer()).headers, { 'keep-alive': 'timeout=1' })
  await idle.closed
  await trial.configure({ keepAliveTimeoutMs: 960_000 })
  const longer = await trial.connect()
  longer.write(headOf({ method: 'GET', path: '/healthz' }))
  t.match((await longer.answer()).headers, { 'keep-alive': 'timeout=960' })
  longer.end()
})
