import fc from 'fast-check'
import t from 'tap'
import type { Call } from '../../src/outbox/sqlite/batch.ts'
import { pack, unpack } from '../../src/outbox/sqlite/packing.ts'
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
