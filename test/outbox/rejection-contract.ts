import t, { type Test } from 'tap'
import type { Admission } from '../../src/outbox/operator.ts'
import type { Rejection } from '../../src/outbox/outbox.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { newEvent, to } from './samples.ts'

const LATER = 50_000

function rejection(given: Partial<Rejection> = {}): Rejection {
  return {
    source: 'ultravox',
    receivedAt: 1_000,
    reason: 'signature_missing',
    requestId: 'req_1',
    peer: '192.0.2.1',
    bytes: 2,
    headers: '{"x-timestamp":"then"}',
    kept: null,
    ...given,
  }
}

function keptRejection(body: string, given: Partial<Rejection> = {}): Rejection {
  return rejection({ reason: 'timestamp_stale', kept: { body: Buffer.from(body), contentType: 'a/b' }, ...given })
}

/** What every implementation has to hold to for an operator who looks at rejections. */
export function rejectionContract(name: string, open: OpenBothSides): void {
  const contract = (title: string, run: (test: Test, both: BothSides) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => {
      const both = await open(test.testdir())
      test.teardown(async () => {
        await both.operator.close()
        await both.outbox.close()
      })
      await run(test, both)
    })

  contract('rejections are listed with the newest first, by each filter', async (t, { outbox, operator }) => {
    await outbox.reject(keptRejection('a'))
    await outbox.reject(rejection({ receivedAt: 2_000, peer: '192.0.2.2' }))
    await outbox.reject(rejection({ receivedAt: 3_000, source: 'batch' }))
    await outbox.reject(keptRejection('a', { receivedAt: 4_000 }))
    const ids = async (filter: object) => (await operator.listRejections(filter, 9)).map((each) => each.rejectionId)
    t.same(await ids({}), [1, 3, 2], 'one that came again is as new as its last time')
    t.same(await ids({ reason: 'timestamp_stale' }), [1])
    t.same(await ids({ source: 'batch' }), [3])
    t.same(await ids({ peer: '192.0.2.2' }), [2])
    t.same(await ids({ since: 3_000, until: 4_000 }), [3])
    t.same(await ids({ kept: true }), [1])
    t.same(await ids({ kept: false, rejectionIds: [1, 2] }), [2])
    t.same(await operator.findRejections({ peer: '192.0.2.1' }), [1, 3])
    t.match(await operator.listRejections({}, 1), [{ rejectionId: 1, receivedAt: 4_000, times: 2, kept: true }])
  })

  contract('a kept rejection is read whole, another without a body', async (t, { outbox, operator }) => {
    await outbox.reject(rejection())
    await outbox.reject(keptRejection('{"a":1}'))
    const [plain, kept, ...others] = await operator.readRejections([2, 1, 9])
    t.match(plain, { rejectionId: 1, kept: false, body: null, contentType: null, headers: { 'x-timestamp': 'then' } })
    t.match(kept, { rejectionId: 2, kept: true, contentType: 'a/b' })
    t.equal(Buffer.from(kept!.body!).toString(), '{"a":1}')
    t.same(others, [])
  })

  contract('an admitted one is an event with deliveries due now, and no rejection any more', async (t, both) => {
    const { outbox, operator } = both
    await outbox.reject(keptRejection('a'))
    const event = newEvent({ receivedAt: 1_000 })
    const admission: Admission = { rejectionId: 1, event, deliveries: to('crm', 'ops') }
    const admitted = [{ rejectionId: 1, eventId: event.eventId, duplicate: false }]
    t.same(await operator.admit([admission], LATER), admitted)
    t.same(await operator.findRejections({}), [])
    const shown = await operator.showEvent(event.eventId)
    t.match(shown, { receivedAt: 1_000, origin: 'webhook', deliveries: [{ dueAt: LATER }, { dueAt: LATER }] })
    t.match((await outbox.claim('crm', 9, LATER)).deliveries, [{ event: { eventId: event.eventId } }])

    t.same(await operator.admit([{ ...admission, event: newEvent() }], LATER), [], 'not twice')
    t.equal(await operator.countEvents({}), 1)
  })

  contract(
    'an event that is on record already counts a duplicate and goes nowhere',
    async (t, { outbox, operator }) => {
      const event = newEvent()
      await outbox.record(event, [])
      await outbox.reject(keptRejection('a'))
      const again = { ...event, eventId: 'evt_again' }
      t.same(await operator.admit([{ rejectionId: 1, event: again, deliveries: to('crm') }], LATER), [
        { rejectionId: 1, eventId: event.eventId, duplicate: true },
      ])
      t.match(await operator.showEvent(event.eventId), { duplicates: 1, deliveries: [] })
      t.same(await operator.findRejections({}), [])
    },
  )

  contract('what was not kept is not admitted', async (t, { outbox, operator }) => {
    await outbox.reject(rejection())
    t.same(await operator.admit([{ rejectionId: 1, event: newEvent(), deliveries: [] }], LATER), [])
    t.same(await operator.findRejections({}), [1])
    t.equal(await operator.countEvents({}), 0)
  })

  contract('an admission that fails leaves all of its step as it was', async (t, { outbox, operator }) => {
    await outbox.reject(keptRejection('a'))
    await outbox.reject(keptRejection('b'))
    const bad = newEvent({ receivedAt: 0.5 })
    const admissions = [newEvent(), bad].map((event, index) => ({
      rejectionId: index + 1,
      event,
      deliveries: to('crm'),
    }))
    await t.rejects(operator.admit(admissions, LATER))
    t.same(await operator.findRejections({}), [1, 2])
    t.equal(await operator.countEvents({}), 0)
  })

  contract('an admitted event of an ordered call waits for what is before it', async (t, { outbox, operator }) => {
    const ordered = [{ target: 'crm', ordered: true }]
    const event = (name: string) => newEvent({ callId: 'call-x', event: name })
    await outbox.record(event('call.started'), ordered)
    await outbox.reject(keptRejection('a'))
    await operator.admit([{ rejectionId: 1, event: event('call.ended'), deliveries: ordered }], LATER)
    const claimed = async () => (await outbox.claim('crm', 9, LATER)).deliveries
    const [first, ...others] = await claimed()
    t.match([first, ...others], [{ event: { event: 'call.started' } }])
    t.equal(others.length, 0)
    const attempt = { attempt: 1, startedAt: 1, durationMs: 1, outcome: 'delivered', status: null } as const
    await outbox.settle(first!, { ...attempt, error: null, response: null, note: null }, { state: 'delivered' })
    t.match(await claimed(), [{ event: { event: 'call.ended' } }])
  })

  contract('clearing removes those that are meant, and no others', async (t, { outbox, operator }) => {
    for (const peer of ['a', 'b', 'b']) await outbox.reject(rejection({ peer }))
    await outbox.reject(keptRejection('a', { peer: 'b' }))
    t.equal(await operator.clearRejections({ peer: 'b', kept: false }), 2)
    t.same(await operator.findRejections({}), [1, 4])
    t.equal(await operator.clearRejections({ rejectionIds: [4, 9] }), 1)
    t.same(await operator.findRejections({}), [1])
  })
}
