import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { scratch } from '../scratch.ts'
import { attemptAt, newEvent, TRACEPARENT, to } from './samples.ts'

/** Opens an implementation that keeps what it has in a directory. */
export type OpenOutbox = (directory: string) => Promise<Outbox>

let recordedNumber = 0

/** Records one event for each of these call ids, for an ordered target; event ids tell the call and the position. */
async function recordCalls(outbox: Outbox, callIds: readonly string[]): Promise<void> {
  for (const [position, callId] of callIds.entries()) {
    const event = newEvent({
      callId,
      event: `event.${++recordedNumber}`,
      eventId: `${callId} ${position} ${recordedNumber}`,
    })
    await outbox.record(event, [{ target: 'crm', ordered: true }])
  }
}

/** Call and position of what `recordCalls` made. */
function namesOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ event }) => event.eventId.split(' ').slice(0, 2).join(' '))
}

async function claimOne(outbox: Outbox, target: string, now: number): Promise<Delivery> {
  const { deliveries } = await outbox.claim(target, 1, now)
  const [delivery] = deliveries
  if (delivery === undefined) throw new Error(`nothing to claim for ${target}`)
  return delivery
}

/** What every implementation of the outbox has to hold to. */
export function outboxContract(name: string, open: OpenOutbox): void {
  async function opened(test: Pick<Test, 'teardown'>): Promise<Outbox> {
    const outbox = await open(scratch(test))
    test.teardown(() => outbox.close())
    return outbox
  }

  t.test(`${name}: a recorded event can be claimed by each of its targets, byte for byte`, async (t) => {
    const outbox = await opened(t)
    const event = newEvent({
      body: Buffer.from([0x7b, 0xff, 0x00, 0x0d, 0x0a, 0xc3, 0x28, 0x7d]),
      contentType: 'a/b; c=d',
      traceparent: TRACEPARENT,
      tracestate: 'a=1, b=2',
      via: 'a1b2c3d4e5f60718 0123456789abcdef',
    })
    const recorded = { eventId: event.eventId, duplicate: false, targets: ['crm', 'ops'], leased: [] }
    t.same(await outbox.record(event, to('crm', 'ops')), recorded)
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
        traceparent: TRACEPARENT,
        tracestate: 'a=1, b=2',
        via: 'a1b2c3d4e5f60718 0123456789abcdef',
      })
    }
    t.same((await outbox.claim('other', 8, 1_000)).deliveries, [])
  })

  t.test(`${name}: what is put off for longer than can be is due now, and nobody waits for it`, async (t) => {
    const outbox = await opened(t)
    for (const receivedAt of [1_000, 2_000, 6_000, 90_000, 95_000])
      await outbox.record(newEvent({ receivedAt }), to('crm'))
    const dueAt = ({ deliveries }: { deliveries: readonly Delivery[] }) =>
      deliveries.map(({ event }) => event.receivedAt)
    const none = await outbox.claim('crm', 1, 500, { latest: 100_000 })
    t.same(none, { deliveries: [], nextDueAt: 1_000 })
    const first = await outbox.claim('crm', 1, 5_000, { latest: 10_000 })
    t.same(dueAt(first), [1_000], 'what is due comes first')
    const second = await outbox.claim('crm', 2, 5_000, { latest: 10_000 })
    t.same(dueAt(second), [2_000, 90_000])
    const third = await outbox.claim('crm', 9, 5_000, { latest: 10_000 })
    t.same({ dueAt: dueAt(third), nextDueAt: third.nextDueAt }, { dueAt: [95_000], nextDueAt: 6_000 })
    t.same(
      await outbox.claim('crm', 9, 5_000, { latest: 10_000 }),
      { deliveries: [], nextDueAt: 6_000 },
      'each is leased',
    )
    await outbox.release(third.deliveries[0]!)
    t.same(
      dueAt(await outbox.claim('crm', 9, 6_000, { latest: 10_000 })),
      [6_000, 95_000],
      'a release makes it due again',
    )
    t.same(await outbox.claim('crm', 9, 6_000, { latest: 10_000 }), { deliveries: [], nextDueAt: null })
  })

  t.test(
    `${name}: a probe takes what is put off for longer than can be once all else that is due is claimed`,
    async (t) => {
      const outbox = await opened(t)
      for (const receivedAt of [1_000, 2_000, 90_000]) await outbox.record(newEvent({ receivedAt }), to('crm'))
      const probe = async () => {
        const { deliveries, nextDueAt } = await outbox.claim('crm', 1, 5_000, { latest: 10_000, probe: true })
        return { dueAt: deliveries.map(({ event }) => event.receivedAt), nextDueAt }
      }
      t.same((await probe()).dueAt, [2_000])
      t.same((await probe()).dueAt, [1_000])
      t.same((await probe()).dueAt, [90_000], 'it is not what a lane would wait for')
      t.same(await probe(), { dueAt: [], nextDueAt: null })
    },
  )

  t.test(`${name}: a claim stops before its bodies exceed maxBytes, and says how large the next one is`, async (t) => {
    const outbox = await opened(t)
    for (const size of [400, 300, 500, 10]) {
      await outbox.record(newEvent({ body: Buffer.alloc(size, 'x') }), to('crm'))
    }
    const sizes = ({ deliveries }: { deliveries: readonly Delivery[] }) =>
      deliveries.map(({ event }) => event.body.byteLength)
    t.same(await outbox.claim('crm', 9, 1_000, { maxBytes: 399 }), { deliveries: [], nextDueAt: 1_000, nextBytes: 400 })
    t.same(
      await outbox.claim('crm', 9, 1_000, { maxBytes: 0 }),
      { deliveries: [], nextDueAt: 1_000, nextBytes: 400 },
      'the first is not leased',
    )
    const first = await outbox.claim('crm', 9, 1_000, { maxBytes: 700 })
    t.same(sizes(first), [400, 300])
    t.match(first, { nextDueAt: 1_000, nextBytes: 500 }, 'no smaller one overtakes')
    const second = await outbox.claim('crm', 9, 1_000, { maxBytes: 20, atLeastOne: true })
    t.same(sizes(second), [500], 'at least one')
    t.match(second, { nextDueAt: 1_000, nextBytes: 10 })
    const last = await outbox.claim('crm', 9, 1_000, { maxBytes: 10, atLeastOne: true })
    t.same(sizes(last), [10])
    t.same({ nextDueAt: last.nextDueAt, nextBytes: last.nextBytes }, { nextDueAt: null, nextBytes: undefined })
  })

  t.test(`${name}: the attempts on record are read page by page, the latest first, back to an instant`, async (t) => {
    const outbox = await opened(t)
    t.same(await outbox.attemptsBefore(null, 0, 10), { attempts: [], next: null })
    const expected: { target: string; deliveryId: number; startedAt: number; endedAt: number }[] = []
    for (const [target, startedAt] of [
      ['crm', 100_000],
      ['ops', 200_000],
      ['crm', 300_000],
      ['crm', 400_000],
    ] as const) {
      await outbox.record(newEvent(), to(target))
      const delivery = await claimOne(outbox, target, 1_000)
      await outbox.settle(delivery, attemptAt(delivery, 'delivered', startedAt), { state: 'delivered' })
      expected.unshift({ target, deliveryId: delivery.deliveryId, startedAt, endedAt: startedAt + 5 })
    }
    const all: unknown[] = []
    let before: number | null = null
    do {
      const page = await outbox.attemptsBefore(before, 0, 3)
      all.push(...page.attempts)
      before = page.next
    } while (before !== null)
    t.same(all, expected)
    const recent = await outbox.attemptsBefore(null, 300_005, 3)
    t.same(recent, { attempts: expected.slice(0, 2), next: null }, 'none that ended before, and no further page')
  })

  t.test(`${name}: the same source, event name and call id is a duplicate and is not delivered again`, async (t) => {
    const outbox = await opened(t)
    const first = newEvent()
    await outbox.record(first, to('crm'))
    const again = { ...first, eventId: 'evt_again', body: Buffer.from('{"event":"call.ended","other":1}') }
    const duplicate = { eventId: first.eventId, duplicate: true, targets: [], leased: [] }
    t.same(await outbox.record(again, to('crm', 'ops')), duplicate)
    t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 1)
    t.equal((await outbox.claim('ops', 8, 1_000)).deliveries.length, 0)
    for (const other of [{ source: 'second' }, { event: 'call.billed' }, { callId: 'another' }]) {
      const changed = { ...first, ...other, eventId: `evt_${JSON.stringify(other)}` }
      t.equal((await outbox.record(changed, [])).duplicate, false, `another ${Object.keys(other)} is another event`)
    }
  })

  t.test(
    `${name}: an event that arrives through several sources of an account is recorded and delivered once`,
    async (t) => {
      const outbox = await opened(t)
      const first = newEvent({ source: 'webhook', account: 'sales' })
      await outbox.record(first, to('crm'))
      const again = { ...first, source: 'callbacks', eventId: 'evt_again', body: Buffer.from('{"event":"call.ended"}') }
      const duplicate = { eventId: first.eventId, duplicate: true, targets: [], leased: [] }
      t.same(await outbox.record(again, to('crm')), duplicate)
      t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 1)
      const elsewhere = { ...first, account: 'support', eventId: 'evt_elsewhere' }
      t.equal((await outbox.record(elsewhere, [])).duplicate, false, 'another account has events of its own')
    },
  )

  t.test(`${name}: a target that only the second source leads to gets the event too, once`, async (t) => {
    const outbox = await opened(t)
    const first = newEvent({ source: 'webhook', account: 'sales' })
    await outbox.record(first, to('crm'))
    const delivered = await claimOne(outbox, 'crm', 1_000)
    await outbox.settle(delivered, attemptAt(delivered, 'delivered'), { state: 'delivered' })
    const again = { ...first, source: 'callbacks', eventId: 'evt_again', body: Buffer.from('other bytes') }
    const both = ['crm', 'ops'].map((target) => ({ target, ordered: false, lease: true }))
    t.same(await outbox.record(again, both), { eventId: first.eventId, duplicate: true, targets: ['ops'], leased: [] })
    t.same((await outbox.record(again, both)).targets, [], 'not again')
    const { deliveries } = await outbox.claim('ops', 8, 1_000)
    t.match(deliveries, [{ event: { eventId: first.eventId, source: 'webhook' } }])
    t.same(Buffer.from(deliveries[0]!.event.body), Buffer.from(first.body), 'with the bytes on record')
    t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 0)
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
      outbox.record({ ...event, eventId: `evt_copy_${n}` }, to('crm')),
    )
    const recorded = await Promise.all(copies)
    t.equal(recorded.filter(({ duplicate }) => !duplicate).length, 1)
    t.equal(new Set(recorded.map(({ eventId }) => eventId)).size, 1)
    t.equal((await outbox.claim('crm', 8, 1_000)).deliveries.length, 1)
  })

  t.test(`${name}: a leased delivery is not claimed again until it is released`, async (t) => {
    const outbox = await opened(t)
    await outbox.record(newEvent(), to('crm'))
    const delivery = await claimOne(outbox, 'crm', 1_000)
    t.same(await outbox.claim('crm', 8, 1_000), { deliveries: [], nextDueAt: null })
    await outbox.release(delivery)
    t.same((await claimOne(outbox, 'crm', 1_000)).deliveryId, delivery.deliveryId)
  })

  t.test(`${name}: claims give the oldest due first, no more than asked, and say when the next is due`, async (t) => {
    const outbox = await opened(t)
    const events = [3_000, 1_000, 2_000, 9_000].map((receivedAt) => newEvent({ receivedAt }))
    for (const event of events) await outbox.record(event, to('crm'))
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
      await outbox.record(newEvent(), to('crm'))
      const delivery = await claimOne(outbox, 'crm', 1_000)
      const attempt = attemptAt(delivery, state === 'dead' ? 'refused' : 'delivered')
      t.equal(await outbox.settle(delivery, attempt, { state }), 'settled')
      t.same(await outbox.claim('crm', 8, 99_000), { deliveries: [], nextDueAt: null })
    }
  })

  t.test(`${name}: a delivery to be tried again comes back when it is due, with its attempts counted`, async (t) => {
    const outbox = await opened(t)
    await outbox.record(newEvent(), to('crm'))
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
    await outbox.record(newEvent(), to('crm'))
    const delivery = await claimOne(outbox, 'crm', 1_000)
    t.equal(await outbox.settle(delivery, attemptAt(delivery, 'failed'), { state: 'pending', dueAt: 3_000 }), 'settled')
    t.equal(await outbox.settle(delivery, attemptAt(delivery, 'delivered'), { state: 'delivered' }), 'gone')
    t.equal((await claimOne(outbox, 'crm', 3_000)).attempts, 1)
  })

  t.test(
    `${name}: an ordered target gets a call's events one at a time, in order, and many calls at once`,
    async (t) => {
      const outbox = await opened(t)
      await recordCalls(outbox, ['a', 'b', 'a', 'c', 'a', 'b'])
      const first = await outbox.claim('crm', 9, 5_000)
      t.same(namesOf(first.deliveries), ['a 0', 'b 1', 'c 3'])
      t.same((await outbox.claim('crm', 9, 5_000)).deliveries, [], 'nothing while each call has one under way')
      const [a] = first.deliveries
      await outbox.settle(a!, attemptAt(a!, 'delivered'), { state: 'delivered' })
      t.same(namesOf((await outbox.claim('crm', 9, 5_000)).deliveries), ['a 2'])
    },
  )

  t.test(`${name}: a failing event holds up its own call only, and keeps its place`, async (t) => {
    const outbox = await opened(t)
    await recordCalls(outbox, ['a', 'a', 'b'])
    const { deliveries } = await outbox.claim('crm', 9, 5_000)
    await outbox.settle(deliveries[0]!, attemptAt(deliveries[0]!, 'failed'), { state: 'pending', dueAt: 9_000 })
    await outbox.settle(deliveries[1]!, attemptAt(deliveries[1]!, 'delivered'), { state: 'delivered' })
    t.same(await outbox.claim('crm', 9, 8_999), { deliveries: [], nextDueAt: 9_000 })
    await recordCalls(outbox, ['a', 'b'])
    t.same(namesOf((await outbox.claim('crm', 9, 9_000)).deliveries), ['b 1', 'a 0'])
  })

  t.test(`${name}: a dead delivery lets the next of its call go, unless it is to hold it`, async (t) => {
    const outbox = await opened(t)
    await recordCalls(outbox, ['a', 'b', 'a', 'b'])
    const { deliveries } = await outbox.claim('crm', 9, 5_000)
    const [a, b] = deliveries
    await outbox.settle(a!, attemptAt(a!, 'refused'), { state: 'dead' })
    await outbox.settle(b!, attemptAt(b!, 'refused'), { state: 'dead', hold: true })
    await t.same(namesOf((await outbox.claim('crm', 9, 5_000)).deliveries), ['a 2'])
    await recordCalls(outbox, ['b'])
    t.same((await outbox.claim('crm', 9, 5_000)).deliveries, [], 'what comes later for a held call waits too')
  })

  t.test(`${name}: order is each ordered target's own, and events without a call have none`, async (t) => {
    const outbox = await opened(t)
    const ordered = [
      { target: 'crm', ordered: true },
      { target: 'dwh', ordered: true },
      { target: 'log', ordered: false },
    ]
    for (const event of ['call.started', 'call.ended']) await outbox.record(newEvent({ callId: 'x', event }), ordered)
    for (const body of ['{"n":1}', '{"n":2}']) {
      await outbox.record(newEvent({ callId: null, body: Buffer.from(body) }), ordered)
    }
    const { deliveries: crm } = await outbox.claim('crm', 9, 5_000)
    t.equal(crm.length, 3, 'the call once, and both without a call')
    await outbox.settle(crm[0]!, attemptAt(crm[0]!, 'delivered'), { state: 'delivered' })
    t.equal((await outbox.claim('dwh', 9, 5_000)).deliveries.length, 3)
    t.equal((await outbox.claim('log', 9, 5_000)).deliveries.length, 4)
  })

  t.test(`${name}: random outcomes never break the order of a call`, async (t) => {
    const outbox = await opened(t)
    const random = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), { numRuns: 4_000, seed: 7 }).values()
    const next = () => random.next().value ?? 0.5
    await recordCalls(
      outbox,
      Array.from({ length: 120 }, () => `call-${Math.floor(next() * 12)}`),
    )
    const ended = new Map<string, number[]>()
    let now = 5_000
    for (let open = 120; open > 0; now += 10) {
      const { deliveries } = await outbox.claim('crm', 8, now)
      t.equal(new Set(deliveries.map(({ event }) => event.callId)).size, deliveries.length, 'one of a call at a time')
      for (const delivery of deliveries) {
        const { callId, eventId } = delivery.event
        if (next() < 0.3) {
          await outbox.settle(delivery, attemptAt(delivery, 'failed'), { state: 'pending', dueAt: now + 25 })
        } else {
          await outbox.settle(delivery, attemptAt(delivery, 'delivered'), { state: 'delivered' })
          ended.set(callId!, [...(ended.get(callId!) ?? []), Number(eventId.split(' ')[1])])
          open -= 1
        }
      }
    }
    for (const [callId, order] of ended)
      t.same(
        order,
        order.toSorted((a, b) => a - b),
        callId,
      )
  })

  t.test(`${name}: a probe is a delivery that has not failed, or else the one with the fewest attempts`, async (t) => {
    const outbox = await opened(t)
    const probe = async (limit = 1) => {
      const { deliveries } = await outbox.claim('crm', limit, 10_000, { probe: true })
      for (const delivery of deliveries) await outbox.release(delivery)
      return deliveries.map(({ event }) => event.eventId)
    }
    const record = async (eventId: string, receivedAt = 1_000) => {
      await outbox.record(newEvent({ eventId, receivedAt }), to('crm'))
    }
    const failTimes = async (eventId: string, times: number, dueAt: number) => {
      for (let n = 0; n < times; n++) {
        const { deliveries } = await outbox.claim('crm', 99, 99_999)
        for (const delivery of deliveries) {
          if (delivery.event.eventId !== eventId) await outbox.release(delivery)
          else await outbox.settle(delivery, attemptAt(delivery, 'failed', 2_000 + n), { state: 'pending', dueAt })
        }
      }
    }
    t.same(await probe(), [], 'none is due')
    await record('twice')
    await record('once, tried last')
    await record('once')
    await failTimes('twice', 2, 3_000)
    await failTimes('once', 1, 5_000)
    await failTimes('once, tried last', 2, 4_000)
    await failTimes('twice', 1, 3_000)
    t.same(await probe(), ['once'], 'all have failed')
    t.same(await probe(9), ['once', 'once, tried last', 'twice'])
    await record('put off', 20_000)
    t.same(await probe(), ['once'], 'not one that is not due')
    await record('new')
    await record('newest')
    t.same(await probe(3), ['newest', 'new', 'once'])
    await outbox.record(newEvent({ eventId: 'elsewhere' }), to('ops'))
    const [claimed] = (await outbox.claim('crm', 1, 10_000, { probe: true })).deliveries
    t.equal(claimed?.event.eventId, 'newest')
    t.same(await probe(), ['new'], 'nor one that is claimed')
    const second = await outbox.claim('crm', 99, 10_000)
    t.equal(second.deliveries.length, 4)
    t.same(await outbox.claim('crm', 1, 10_000, { probe: true }), { deliveries: [], nextDueAt: 20_000 })
  })

  t.test(`${name}: a probe of an ordered call is its oldest unfinished delivery`, async (t) => {
    const outbox = await opened(t)
    await recordCalls(outbox, ['A', 'A', 'B', 'B'])
    const { deliveries } = await outbox.claim('crm', 9, 1_000, { probe: true })
    t.same(namesOf(deliveries).sort(), ['A 0', 'B 2'])
  })

  t.test(`${name}: what is kept of a target is there after a restart`, async (t) => {
    const directory = scratch(t)
    const outbox = await open(directory)
    const circuit = { probeAt: 9_000, cooldownMs: 500 }
    await outbox.saveBreaker('crm', { ...circuit, lastProbe: 17, configHash: 'abc' }, 1_000)
    await outbox.saveBreaker('ops', { probeAt: 9_000, cooldownMs: 500 }, 1_000)
    await outbox.saveBreaker('ops', null, 2_000)
    await outbox.saveThrottle('ops', { until: 9_000, inARow: 3 }, 2_000)
    await outbox.close()
    const reopened = await open(directory)
    t.teardown(() => reopened.close())
    t.same(await reopened.targetStates(), [
      { target: 'crm', paused: false, breaker: { ...circuit, lastProbe: 17, configHash: 'abc' }, throttle: null },
      { target: 'ops', paused: false, breaker: null, throttle: { until: 9_000, inARow: 3 } },
    ])
    await reopened.saveThrottle('ops', null, 3_000)
    t.equal((await reopened.targetStates())[1]?.throttle, null)
    await reopened.saveBreaker('crm', circuit, 3_000)
    t.same((await reopened.targetStates())[0]!.breaker, circuit, 'only the last state is kept')
  })

  t.test(`${name}: it tells which targets have unfinished deliveries, and since when the oldest is due`, async (t) => {
    const outbox = await opened(t)
    for (const receivedAt of [3_000, 2_000, 4_000]) await outbox.record(newEvent({ receivedAt }), to('crm', 'dwh'))
    t.same(await outbox.targetsWithDeliveries(), ['crm', 'dwh'])
    t.equal(await outbox.oldestDueAt('crm', 5_000), 2_000)
    t.equal(await outbox.oldestDueAt('crm', 1_999), null, 'none is due yet')
    t.equal(await outbox.oldestDueAt('ops', 5_000), null)
  })

  t.test(`${name}: what waits behind dead deliveries that hold their calls is counted, with its age`, async (t) => {
    const outbox = await opened(t)
    t.equal(await outbox.heldBacklog('crm'), null)
    await recordCalls(outbox, ['held', 'free'])
    const [held, free] = (await outbox.claim('crm', 2, 1_000)).deliveries
    await outbox.settle(held!, attemptAt(held!, 'refused'), { state: 'dead', hold: true })
    t.equal(await outbox.heldBacklog('crm'), null, 'nothing waits for it yet')
    await recordCalls(outbox, ['held', 'held', 'free'])
    t.same(await outbox.heldBacklog('crm'), { deliveries: 2, calls: 1, since: 1_000 })
    t.same(await outbox.tally(['crm'], 5_000), { due: 1, held: 2, dead: 1 }, 'what is behind an attempt is not held')
    await outbox.settle(free!, attemptAt(free!, 'refused'), { state: 'dead', hold: true })
    t.same(await outbox.heldBacklog('crm'), { deliveries: 3, calls: 2, since: 1_000 })
    t.equal(await outbox.heldBacklog('ops'), null)
    t.match(await outbox.tally(['ops'], 5_000), { held: 0 })
  })

  t.test(`${name}: it tells how much is due at some targets, and how much is dead`, async (t) => {
    const outbox = await opened(t)
    for (const receivedAt of [2_000, 3_000]) await outbox.record(newEvent({ receivedAt }), to('crm', 'dwh'))
    t.same(await outbox.tally(['crm', 'gone'], 2_500), { due: 1, held: 0, dead: 0 })
    t.same(await outbox.tally(['crm', 'dwh'], 5_000), { due: 4, held: 0, dead: 0 })
    const delivery = await claimOne(outbox, 'crm', 5_000)
    await outbox.settle(delivery, attemptAt(delivery, 'refused'), { state: 'dead' })
    t.same(await outbox.tally(['dwh'], 5_000), { due: 2, held: 0, dead: 1 }, 'dead at any target')
  })

  t.test(`${name}: what is to be leased at once comes back from recording as if it had been claimed`, async (t) => {
    const outbox = await opened(t)
    const trace = { traceparent: TRACEPARENT, tracestate: 'a=1', via: '0123456789abcdef' }
    const event = newEvent({ body: Buffer.from('{"event":"call.ended","n":1}'), ...trace })
    const { leased } = await outbox.record(event, [{ target: 'crm', ordered: false, lease: true }, ...to('ops')])
    t.equal(leased.length, 1)
    t.same(await outbox.claim('crm', 9, 5_000), { deliveries: [], nextDueAt: null }, 'it is leased')
    const [ops] = (await outbox.claim('ops', 9, 5_000)).deliveries
    const { deliveryId: _, target: __, ...likeClaimed } = ops!
    const { deliveryId, target, ...asRecorded } = leased[0]!
    t.same(
      { ...asRecorded, event: { ...asRecorded.event, body: Buffer.from(asRecorded.event.body) } },
      { ...likeClaimed, event: { ...likeClaimed.event, body: Buffer.from(likeClaimed.event.body) } },
    )
    t.equal(target, 'crm')
    t.match(asRecorded.event, trace)
    t.equal(await outbox.settle(leased[0]!, attemptAt(leased[0]!, 'delivered'), { state: 'delivered' }), 'settled')
    t.ok(deliveryId > 0)
    const again = await outbox.record({ ...event, eventId: 'evt_again' }, [
      { target: 'crm', ordered: false, lease: true },
    ])
    t.same(again.leased, [], 'a duplicate brings nothing')
  })

  t.test(`${name}: in an ordered target only what may go at once is leased at once`, async (t) => {
    const outbox = await opened(t)
    const lease = [{ target: 'crm', ordered: true, lease: true }]
    const first = await outbox.record(newEvent({ callId: 'x', event: 'call.started' }), lease)
    t.equal(first.leased.length, 1)
    t.same((await outbox.record(newEvent({ callId: 'x', event: 'call.ended' }), lease)).leased, [])
    const [delivery] = first.leased
    await outbox.settle(delivery!, attemptAt(delivery!, 'delivered'), { state: 'delivered' })
    t.equal((await claimOne(outbox, 'crm', 5_000)).event.event, 'call.ended')
  })

  t.test(`${name}: closing carries out what was called before, and a new opening finds it`, async (t) => {
    const directory = scratch(t)
    const outbox = await open(directory)
    const events = Array.from({ length: 100 }, () => newEvent())
    const recorded = events.map((event) => outbox.record(event, to('crm')))
    await outbox.close()
    await Promise.all(recorded)
    const reopened = await open(directory)
    t.teardown(() => reopened.close())
    const { deliveries } = await reopened.claim('crm', 1_000, 1_000)
    t.equal(deliveries.length, 100)
  })

  t.test(`${name}: what was leased when the outbox closed is pending when it opens`, async (t) => {
    const directory = scratch(t)
    const outbox = await open(directory)
    await outbox.record(newEvent(), to('crm'))
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
