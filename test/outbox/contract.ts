import t from 'tap'
import type { Attempt, Delivery } from '../../src/domain/delivery.ts'
import type { NewEvent } from '../../src/domain/event.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'

/** Opens an implementation that keeps what it has in a directory. */
export type OpenOutbox = (directory: string) => Promise<Outbox>

let eventNumber = 0

/** A new event about a call of its own; `given` overrides. */
export function newEvent(given: Partial<NewEvent> = {}): NewEvent {
  eventNumber += 1
  const callId = `call-${eventNumber}`
  return {
    eventId: `evt_${eventNumber}`,
    source: 'ultravox',
    event: 'call.ended',
    callId,
    receivedAt: 1_000,
    origin: 'webhook',
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId } })),
    ...given,
  }
}

/** An attempt at a delivery that ended as said. */
export function attemptAt(delivery: Delivery, outcome: Attempt['outcome'], startedAt = 2_000): Attempt {
  return {
    attempt: delivery.attempts + 1,
    startedAt,
    durationMs: 5,
    outcome,
    status: outcome === 'delivered' ? 200 : 503,
    error: outcome === 'delivered' ? null : 'http 503',
    response: 'answer',
  }
}

async function claimOne(outbox: Outbox, target: string, now: number): Promise<Delivery> {
  const { deliveries } = await outbox.claim(target, 1, now)
  const [delivery] = deliveries
  if (delivery === undefined) throw new Error(`nothing to claim for ${target}`)
  return delivery
}

/** What every implementation of the outbox has to hold to. */
export function outboxContract(name: string, open: OpenOutbox): void {
  async function opened(test: { testdir(): string; teardown(end: () => Promise<void>): void }): Promise<Outbox> {
    const outbox = await open(test.testdir())
    test.teardown(() => outbox.close())
    return outbox
  }

  t.test(`${name}: a recorded event can be claimed by each of its targets, byte for byte`, async (t) => {
    const outbox = await opened(t)
    const event = newEvent({
      body: Buffer.from([0x7b, 0xff, 0x00, 0x0d, 0x0a, 0xc3, 0x28, 0x7d]),
      contentType: 'a/b; c=d',
    })
    t.same(await outbox.record(event, ['crm', 'ops']), { eventId: event.eventId, duplicate: false })
    for (const target of ['crm', 'ops']) {
      const delivery = await claimOne(outbox, target, 1_000)
      t.equal(delivery.target, target)
      t.equal(delivery.attempts, 0)
      t.equal(delivery.firstAttemptAt, null)
      t.same(Buffer.from(delivery.event.body), Buffer.from(event.body))
      t.match(delivery.event, {
        eventId: event.eventId,
        source: 'ultravox',
        event: 'call.ended',
        callId: event.callId,
        receivedAt: 1_000,
        contentType: 'a/b; c=d',
      })
    }
    t.same((await outbox.claim('other', 8, 1_000)).deliveries, [])
  })

  t.test(`${name}: the same source, event name and call id is a duplicate and is not delivered again`, async (t) => {
    const outbox = await opened(t)
    const first = newEvent()
    await outbox.record(first, ['crm'])
    const again = { ...first, eventId: 'evt_again', body: Buffer.from('{"event":"call.ended","other":1}') }
    t.same(await outbox.record(again, ['crm', 'ops']), { eventId: first.eventId, duplicate: true })
    t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 1)
    t.equal((await outbox.claim('ops', 8, 1_000)).deliveries.length, 0)
    for (const other of [{ source: 'second' }, { event: 'call.billed' }, { callId: 'another' }]) {
      const changed = { ...first, ...other, eventId: `evt_${JSON.stringify(other)}` }
      t.equal((await outbox.record(changed, [])).duplicate, false, `another ${Object.keys(other)} is another event`)
    }
  })

  t.test(`${name}: an event without a call id is known by its body`, async (t) => {
    const outbox = await opened(t)
    const event = newEvent({ callId: null, body: Buffer.from('{"event":"account.low"}') })
    await outbox.record(event, [])
    t.equal((await outbox.record({ ...event, eventId: 'evt_x' }, [])).duplicate, true)
    t.equal((await outbox.record({ ...event, eventId: 'evt_y', body: Buffer.from('{}') }, [])).duplicate, false)
    // A call id that looks like that body's hash is still another identity.
    t.equal((await outbox.record({ ...event, eventId: 'evt_z', callId: 'abc' }, [])).duplicate, false)
  })

  t.test(`${name}: a thousand copies at once are one event`, async (t) => {
    const outbox = await opened(t)
    const event = newEvent()
    const copies = Array.from({ length: 1_000 }, (_, n) =>
      outbox.record({ ...event, eventId: `evt_copy_${n}` }, ['crm']),
    )
    const recorded = await Promise.all(copies)
    t.equal(recorded.filter(({ duplicate }) => !duplicate).length, 1)
    t.equal(new Set(recorded.map(({ eventId }) => eventId)).size, 1)
    t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 1)
  })

  t.test(`${name}: a leased delivery is not claimed again until it is released`, async (t) => {
    const outbox = await opened(t)
    await outbox.record(newEvent(), ['crm'])
    const delivery = await claimOne(outbox, 'crm', 1_000)
    t.same(await outbox.claim('crm', 8, 1_000), { deliveries: [], nextDueAt: null })
    await outbox.release(delivery)
    t.same((await claimOne(outbox, 'crm', 1_000)).deliveryId, delivery.deliveryId)
  })

  t.test(`${name}: claims give the oldest due first, no more than asked, and say when the next is due`, async (t) => {
    const outbox = await opened(t)
    const events = [3_000, 1_000, 2_000, 9_000].map((receivedAt) => newEvent({ receivedAt }))
    for (const event of events) await outbox.record(event, ['crm'])
    const first = await outbox.claim('crm', 2, 5_000)
    t.same(
      first.deliveries.map((delivery) => delivery.event.receivedAt),
      [1_000, 2_000],
    )
    t.ok(first.nextDueAt !== null && first.nextDueAt <= 5_000, 'there is more to claim now')
    const second = await outbox.claim('crm', 2, 5_000)
    t.same(
      second.deliveries.map((delivery) => delivery.event.receivedAt),
      [3_000],
    )
    t.equal(second.nextDueAt, 9_000)
  })

  t.test(`${name}: a delivery that is settled as delivered or dead is never claimed again`, async (t) => {
    const outbox = await opened(t)
    for (const state of ['delivered', 'dead'] as const) {
      await outbox.record(newEvent(), ['crm'])
      const delivery = await claimOne(outbox, 'crm', 1_000)
      const attempt = attemptAt(delivery, state === 'dead' ? 'refused' : 'delivered')
      t.equal(await outbox.settle(delivery, attempt, { state }), true)
      t.same(await outbox.claim('crm', 8, 99_000), { deliveries: [], nextDueAt: null })
    }
  })

  t.test(`${name}: a delivery to be tried again comes back when it is due, with its attempts counted`, async (t) => {
    const outbox = await opened(t)
    await outbox.record(newEvent(), ['crm'])
    const first = await claimOne(outbox, 'crm', 1_000)
    await outbox.settle(first, attemptAt(first, 'failed', 2_000), { state: 'pending', dueAt: 7_000 })
    t.same(await outbox.claim('crm', 8, 6_999), { deliveries: [], nextDueAt: 7_000 })
    const second = await claimOne(outbox, 'crm', 7_000)
    t.equal(second.attempts, 1)
    t.equal(second.firstAttemptAt, 2_000)
    await outbox.settle(second, attemptAt(second, 'failed', 7_000), { state: 'pending', dueAt: 9_000 })
    const third = await claimOne(outbox, 'crm', 9_000)
    t.equal(third.attempts, 2)
    t.equal(third.firstAttemptAt, 2_000, 'the first attempt stays the first')
  })

  t.test(`${name}: an attempt that is settled twice counts once`, async (t) => {
    const outbox = await opened(t)
    await outbox.record(newEvent(), ['crm'])
    const delivery = await claimOne(outbox, 'crm', 1_000)
    t.equal(await outbox.settle(delivery, attemptAt(delivery, 'failed'), { state: 'pending', dueAt: 3_000 }), true)
    t.equal(await outbox.settle(delivery, attemptAt(delivery, 'delivered'), { state: 'delivered' }), false)
    t.equal((await claimOne(outbox, 'crm', 3_000)).attempts, 1)
  })

  t.test(`${name}: closing carries out what was called before, and a new opening finds it`, async (t) => {
    const directory = t.testdir()
    const outbox = await open(directory)
    const events = Array.from({ length: 100 }, () => newEvent())
    const recorded = events.map((event) => outbox.record(event, ['crm']))
    await outbox.close()
    await Promise.all(recorded)
    const reopened = await open(directory)
    t.teardown(() => reopened.close())
    const { deliveries } = await reopened.claim('crm', 1_000, 1_000)
    t.equal(deliveries.length, 100)
  })

  t.test(`${name}: what was leased when the outbox closed is pending when it opens`, async (t) => {
    const directory = t.testdir()
    const outbox = await open(directory)
    await outbox.record(newEvent(), ['crm'])
    const delivery = await claimOne(outbox, 'crm', 1_000)
    await outbox.close()
    const reopened = await open(directory)
    t.teardown(() => reopened.close())
    t.same((await claimOne(reopened, 'crm', 1_000)).deliveryId, delivery.deliveryId)
  })

  t.test(`${name}: after it is closed, it takes nothing more, and closing again does nothing`, async (t) => {
    const outbox = await opened(t)
    await outbox.close()
    await outbox.close()
    await t.rejects(outbox.record(newEvent(), []), { code: 'outbox_unavailable' })
  })
}
