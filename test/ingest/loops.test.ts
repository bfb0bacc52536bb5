import t from 'tap'
import { OPEN_PATH, RELAY_ID, SAMPLE, TrialListener } from './trial-listener.ts'

const OTHER_ID = 'aaaaaaaaaaaaaaaa'

t.test('what the relay has sent itself is rejected for good, and its body is not kept', async (t) => {
  const trial = await TrialListener.start(t)
  for (const via of [RELAY_ID, `${OTHER_ID} ${RELAY_ID}`, `${OTHER_ID}, ${RELAY_ID} ${OTHER_ID}`]) {
    const answer = await trial.genuine(SAMPLE, { headers: { 'X-Relay-Via': via } })
    t.equal(answer.status, 422, via)
    t.match(JSON.parse(answer.body), { error: 'loop_detected' })
  }
  const open = await trial.unsigned({ path: OPEN_PATH, headers: { 'x-relay-via': RELAY_ID } })
  t.equal(open.status, 422, 'also where nothing is verified')
  t.same(trial.outbox.recorded, [])
  t.match(trial.outbox.rejections[0], { reason: 'loop_detected', kept: null })
  t.match(JSON.parse(trial.outbox.rejections[0]!.headers), { 'x-relay-via': RELAY_ID })
  t.equal((await trial.genuine()).status, 204, 'the event itself is as welcome as before')
})

t.test('loops do not use up what an address may send that is rejected', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 2, perMs: 60_000 } })
  const statuses = []
  for (let number = 0; number < 6; number++) {
    statuses.push((await trial.unsigned({ path: OPEN_PATH, headers: { 'x-relay-via': RELAY_ID } })).status)
  }
  t.same(new Set(statuses), new Set([422]))
})

t.test('an event from other relays is accepted with their ids, until there are too many', async (t) => {
  const trial = await TrialListener.start(t)
  const ids = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(16))
  const answer = await trial.genuine(SAMPLE, { headers: { 'x-relay-via': ids.slice(1).join(' , ') } })
  t.equal(answer.status, 204)
  t.equal(trial.outbox.recorded[0]!.event.via, ids.slice(1).join(' '))
  t.equal((await trial.genuine(SAMPLE, { headers: { 'x-relay-via': ids.join(' ') } })).status, 422)
  const { reason, kept } = trial.outbox.rejections[0]!
  t.equal(reason, 'loop_detected')
  t.equal(String(kept?.body), SAMPLE, 'an operator can still accept what this relay has not sent')
})

t.test('a header that no relay has made changes nothing', async (t) => {
  const trial = await TrialListener.start(t)
  const headers = [
    '',
    'x'.repeat(8_000),
    `${RELAY_ID.toUpperCase()}`,
    `${RELAY_ID}; drop`,
    `${RELAY_ID}\u00ff`,
    `,${RELAY_ID}`,
    `${RELAY_ID}${RELAY_ID}`,
    '1.1 proxy.internal (squid)',
  ]
  for (const [index, via] of headers.entries()) {
    const body = JSON.stringify({ event: 'call.ended', call: { callId: `c-${index}` } })
    t.equal((await trial.genuine(body, { headers: { 'x-relay-via': via } })).status, 204, via.slice(0, 40))
    t.equal(trial.outbox.recorded.at(-1)!.event.via, null)
  }
})

t.test('without a valid signature the header decides nothing', async (t) => {
  const trial = await TrialListener.start(t)
  const forged = await trial.unsigned({ headers: { 'x-relay-via': RELAY_ID } })
  t.match(forged, { status: 401, body: /signature_missing/ })
  const tampered = { ...trial.signed('{"event":"other"}'), 'x-relay-via': RELAY_ID }
  t.match(await trial.send({ body: SAMPLE, headers: tampered }), { status: 401, body: /signature_mismatch/ })
})
