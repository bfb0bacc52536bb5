import t, { type Test } from 'tap'
import { traceIdOf } from '../../src/domain/trace-context.ts'
import type { EventFilter } from '../../src/outbox/operator.ts'
import type { OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, TRACEPARENT, to } from './samples.ts'

/** What every implementation has to tell of what became of events and calls. */
export function historyContract(name: string, open: OpenBothSides): void {
  const opened = async (test: Test) => {
    const both = await open(test.testdir())
    test.teardown(async () => {
      await both.operator.close()
      await both.outbox.close()
    })
    return both
  }

  t.test(`${name}: an event is shown whole, with its deliveries and their attempts`, async (t) => {
    const { outbox, operator } = await opened(t)
    const event = newEvent({ body: Buffer.from([0x7b, 0xff, 0x7d]), contentType: null, traceparent: TRACEPARENT })
    await outbox.record(event, to('crm', 'ops'))
    await outbox.record({ ...event, eventId: 'evt_again' }, to('crm'))
    const [delivery] = (await outbox.claim('crm', 1, 2_000)).deliveries
    await outbox.settle(delivery!, attemptAt(delivery!, 'failed'), { state: 'pending', dueAt: 9_000 })
    const shown = await operator.showEvent(event.eventId)
    t.same(Buffer.from(shown!.body!), event.body, 'byte for byte')
    const { body: _, ...rest } = shown!
    t.match(rest, { eventId: event.eventId, origin: 'webhook', contentType: null, bytes: 3, duplicates: 1 })
    t.equal(rest.traceId, traceIdOf(TRACEPARENT))
    t.match(rest.deliveries, [
      {
        target: 'crm',
        state: 'pending',
        dueAt: 9_000,
        place: { behind: null },
        history: [{ attempt: 1, error: 'http 503' }],
      },
      { target: 'ops', state: 'pending', history: [] },
    ])
    t.equal(rest.deliveries.length, 2)
    t.equal(await operator.showEvent('evt_none'), null)
  })

  t.test(`${name}: a call's events come in the order of time, whatever their names and targets`, async (t) => {
    const { outbox, operator } = await opened(t)
    const of = (event: string, receivedAt: number) => newEvent({ callId: 'call-x', event, receivedAt })
    await outbox.record(of('call.ended', 3_000), to('crm'))
    await outbox.record(of('call.started', 1_000), [])
    await outbox.record(of('call.joined', 2_000), to('ops'))
    await outbox.record(newEvent(), to('crm'))
    const events = await operator.showCall('call-x')
    t.same(
      events.map(({ event, deliveries }) => [event, deliveries.map(({ target }) => target)]),
      [
        ['call.started', []],
        ['call.joined', ['ops']],
        ['call.ended', ['crm']],
      ],
    )
    t.same(await operator.showCall('call'), [])
  })

  t.test(`${name}: a pending delivery shows its place in the queue`, async (t) => {
    const { outbox, operator } = await opened(t)
    const record = (event: string, callId = 'call-x') =>
      outbox.record(newEvent({ callId, event }), [{ target: 'crm', ordered: true }])
    await record('other.call', 'call-y')
    await record('call.started')
    await record('call.ended')
    const places = async () =>
      (await operator.showCall('call-x')).flatMap(({ deliveries }) => deliveries.map(({ place }) => place))
    const free = { behind: null, paused: false, breaker: null, ahead: 1 }
    const earlier = { deliveryId: 2, event: 'call.started', state: 'pending', dueAt: 1_000, lastError: null, ahead: 1 }
    t.match(await places(), [free, { ...free, behind: earlier, ahead: 0 }])
    await outbox.saveBreaker('crm', { probeAt: 9_000, cooldownMs: 1_000 }, 2_000)
    await operator.setPaused('crm', true, 3_000)
    t.match(await places(), [
      { paused: true, breaker: { probeAt: 9_000 } },
      { paused: true, behind: { deliveryId: 2 } },
    ])

    const [other, started] = (await outbox.claim('crm', 2, 2_000)).deliveries
    await outbox.settle(other!, attemptAt(other!, 'delivered'), { state: 'delivered' })
    await outbox.settle(started!, attemptAt(started!, 'failed'), { state: 'pending', dueAt: 9_000 })
    t.match((await places())[1], { behind: { state: 'pending', dueAt: 9_000, lastError: 'http 503', ahead: 0 } })

    const [again] = (await outbox.claim('crm', 1, 9_000)).deliveries
    await outbox.settle(again!, attemptAt(again!, 'refused', 9_000), { state: 'dead', hold: true })
    const dead = { deliveryId: 2, event: 'call.started', state: 'dead', dueAt: null, updatedAt: 9_005 }
    t.match(await places(), [null, { behind: { ...dead, lastError: 'http 503' } }])
    const shown = await operator.showDelivery(3)
    t.match(shown, { deliveryId: 3, waiting: true, history: [], place: { behind: dead } })
    t.match(await operator.listDeliveries({}, 9), [{ deliveryId: 3, waiting: true }, { waiting: false }, {}])
  })

  t.test(`${name}: what is due first is ahead`, async (t) => {
    const { outbox, operator } = await opened(t)
    for (const receivedAt of [1_000, 2_000, 3_000]) await outbox.record(newEvent({ receivedAt }), to('crm'))
    const ahead = async (deliveryId: number) => (await operator.showDelivery(deliveryId))?.place?.ahead
    t.same([await ahead(1), await ahead(2), await ahead(3)], [0, 1, 2])
    t.equal(await operator.showDelivery(4), null)
  })

  t.test(`${name}: calls are found by how their ids begin, each once`, async (t) => {
    const { outbox, operator } = await opened(t)
    for (const callId of ['ab-2', 'ab-1', 'AB-3', 'b', 'ab%', null]) await outbox.record(newEvent({ callId }), [])
    await outbox.record(newEvent({ callId: 'ab-1', event: 'call.started' }), [])
    t.same(await operator.findCalls('ab', 9), ['ab%', 'ab-1', 'ab-2'])
    t.same(await operator.findCalls('ab-', 1), ['ab-1'])
    t.same(await operator.findCalls('ab-1', 9), ['ab-1'])
    t.same(await operator.findCalls('%', 9), [])
  })

  t.test(`${name}: events are found by the states of their deliveries`, async (t) => {
    const { outbox, operator } = await opened(t)
    const record = async (eventId: string, ...targets: string[]) => outbox.record(newEvent({ eventId }), to(...targets))
    await record('nowhere')
    await record('both', 'crm', 'ops')
    await record('waiting', 'ops')
    await record('cancelled', 'old')
    const [delivery] = (await outbox.claim('crm', 1, 2_000)).deliveries
    await outbox.settle(delivery!, attemptAt(delivery!, 'refused'), { state: 'dead' })
    await operator.cancelDeliveries({ target: 'old' }, 2_000)
    const found = async (...deliveryStates: NonNullable<EventFilter['deliveryStates']>[number][]) =>
      (await operator.listEvents({ deliveryStates }, 9)).map(({ eventId }) => eventId)
    t.same(await found('none'), ['nowhere'])
    t.same(await found('dead'), ['both'])
    t.same(await found('pending'), ['waiting', 'both'])
    t.same(await found('delivered'), [])
    t.same(await found('cancelled', 'none'), ['cancelled', 'nowhere'])
    t.equal(await operator.countEvents({ deliveryStates: ['dead', 'pending'] }), 2, 'each once')
  })
}
