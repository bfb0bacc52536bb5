import t from 'tap'
import { RelayError } from '../../src/domain/errors.ts'
import type { NewEvent } from '../../src/domain/event.ts'
import { ADMISSION_LIMITS, admit } from '../../src/ingest/admission.ts'
import type { Recorded } from '../../src/outbox/outbox.ts'

const eventOf = (bytes: number): NewEvent => ({
  eventId: 'e',
  source: 's',
  event: 'call.ended',
  callId: null,
  receivedAt: 0,
  origin: 'webhook',
  contentType: null,
  body: new Uint8Array(bytes),
})

/** A `record` whose calls end when the test says so. */
function manualRecord() {
  const calls: { event: NewEvent; targets: readonly string[]; succeed: () => void; fail: (error: Error) => void }[] = []
  const record = (event: NewEvent, targets: readonly string[]) =>
    new Promise<Recorded>((resolve, reject) => {
      calls.push({
        event,
        targets,
        succeed: () => resolve({ eventId: event.eventId, duplicate: false, targets, leased: [] }),
        fail: reject,
      })
    })
  return { calls, record }
}

t.test('what is admitted goes through as it is, and its result comes back', async (t) => {
  const { calls, record } = manualRecord()
  const event = eventOf(10)
  const recorded = admit(record, { requests: 1, bytes: 1 })(event, ['crm'])
  t.equal(calls[0]?.event, event)
  t.same(calls[0]?.targets, ['crm'])
  calls[0]?.succeed()
  t.same(await recorded, { eventId: 'e', duplicate: false, targets: ['crm'], leased: [] })
})

t.test('at most so many requests wait, and each that ends makes room for one', async (t) => {
  const { calls, record } = manualRecord()
  const admitted = admit(record, { requests: 2, bytes: 1_000 })
  const first = admitted(eventOf(1), [])
  const second = admitted(eventOf(1), [])
  await t.rejects(admitted(eventOf(1), []), { code: 'overloaded' })
  t.equal(calls.length, 2, 'the refused one never reached the outbox')
  calls[0]!.succeed()
  await first
  const third = admitted(eventOf(1), [])
  await t.rejects(admitted(eventOf(1), []), { code: 'overloaded' })
  calls[1]!.succeed()
  calls[2]!.succeed()
  await Promise.all([second, third])
})

t.test('requests that fail make room too, and their error comes through', async (t) => {
  const { calls, record } = manualRecord()
  const admitted = admit(record, { requests: 1, bytes: 1_000 })
  for (let i = 0; i < 3; i += 1) {
    const failing = admitted(eventOf(1), [])
    calls[i]!.fail(new RelayError('outbox_unavailable', 'full'))
    await t.rejects(failing, { code: 'outbox_unavailable' })
  }
})

t.test('a record that throws at once makes room too', async (t) => {
  const admitted = admit(
    () => {
      throw new RelayError('outbox_failed', 'closed')
    },
    { requests: 1, bytes: 1_000 },
  )
  for (let i = 0; i < 3; i += 1) await t.rejects(admitted(eventOf(1), []), { code: 'outbox_failed' })
})

t.test('while the bytes that wait are at the limit, nothing more is admitted', async (t) => {
  const { calls, record } = manualRecord()
  const admitted = admit(record, { requests: 100, bytes: 1_000 })
  const almost = admitted(eventOf(999), [])
  const over = admitted(eventOf(5_000), [])
  await t.rejects(admitted(eventOf(0), []), { code: 'overloaded' })
  calls[1]!.succeed()
  await over
  const last = admitted(eventOf(1), [])
  await t.rejects(admitted(eventOf(0), []), { code: 'overloaded' })
  calls[0]!.succeed()
  calls[2]!.succeed()
  await Promise.all([almost, last])
  const after = admitted(eventOf(1), [])
  calls[3]!.succeed()
  await after
})

t.test('one event is admitted however large it is, or it never could be', async (t) => {
  const { calls, record } = manualRecord()
  const admitted = admit(record, ADMISSION_LIMITS)(eventOf(ADMISSION_LIMITS.bytes * 2), [])
  calls[0]!.succeed()
  t.match(await admitted, { duplicate: false, leased: [] })
})
