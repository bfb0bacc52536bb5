import fc from 'fast-check'
import t from 'tap'
import type { Call } from '../../src/outbox/sqlite/batch.ts'
import { batchOf, pack, unpack } from '../../src/outbox/sqlite/packing.ts'
import { newEvent } from './samples.ts'

const rejection = {
  source: 'ultravox',
  receivedAt: 1,
  reason: 'timestamp_stale',
  peer: '127.0.0.1',
  bytes: 3,
  headers: '{}',
  requestId: 'req_1',
} as const

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.uint8Array().map((body): Call => ({ method: 'record', args: [newEvent({ body }), []] })),
  fc
    .uint8Array()
    .map((body): Call => ({ method: 'reject', args: [{ ...rejection, kept: { body, contentType: null } }] })),
  fc.constant<Call>({ method: 'reject', args: [{ ...rejection, kept: null }] }),
  fc.constant<Call>({ method: 'targetStates', args: [] }),
)

t.test('calls arrive as they were sent, each with its own body', async () => {
  fc.assert(
    fc.property(fc.array(call), (calls) => {
      const packed = pack(calls)
      const arrived = unpack(structuredClone(packed, { transfer: [packed.bodies.buffer] }))
      t.strictSame(arrived, structuredClone(calls))
    }),
  )
})

t.test('what is packed is a copy: bodies may be pieces of memory that others use, too', async (t) => {
  const shared = Buffer.from('abcdef')
  const packed = pack([{ method: 'record', args: [newEvent({ body: shared.subarray(2, 4) }), []] }])
  shared.fill(0)
  const [arrived] = unpack(packed)
  t.equal(Buffer.from((arrived as Call & { method: 'record' }).args[0].body).toString(), 'cd')
})

t.test('what has come meanwhile makes one batch, up to a bound and up to the end', async (t) => {
  const one: Call = { method: 'targetStates', args: [] }
  const queue = [pack([one, one]), pack([one]), 'close' as const, pack([one])]
  t.same(
    batchOf(queue.shift()!, () => queue.shift()),
    { calls: [one, one, one], isLast: true },
  )
  t.equal(queue.length, 1, 'nothing is read after the end')
  const crowd = Array.from({ length: 100 }, () => pack(Array.from({ length: 10 }, () => one)))
  t.equal(batchOf(crowd.shift()!, () => crowd.shift()).calls.length, 520)
  t.equal(crowd.length, 48, 'the rest comes next')
})
