import t, { type Test } from 'tap'
import type { Attempt, Delivery, NewDelivery, Settlement } from '../../src/domain/delivery.ts'
import type {
  CallSummary,
  DeliveryFilter,
  DeliverySummary,
  EventFilter,
  ListedEvent,
  OutboxOperator,
  RejectionSummary,
} from '../../src/outbox/operator.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { eventually } from '../eventually.ts'
import { attemptAt, newEvent, to } from './samples.ts'

/** The daemon's and an operator's way into the same store. */
export interface BothSides {
  readonly outbox: Outbox
  readonly operator: OutboxOperator
}

/** Opens an implementation that keeps what it has in a directory, from both sides at once. */
export type OpenBothSides = (directory: string, onRecallRequest?: (request: number) => void) => Promise<BothSides>

const DEAD: Settlement = { state: 'dead' }
const DELIVERED: Settlement = { state: 'delivered' }

/** When operators do what they do, long after all else. */
const LATER = 50_000

const ordered = (...targets: string[]): NewDelivery[] => targets.map((target) => ({ target, ordered: true }))

async function claimOne(outbox: Outbox, target: string, now = LATER): Promise<Delivery> {
  const [delivery] = (await outbox.claim(target, 1, now)).deliveries
  if (delivery === undefined) throw new Error(`nothing to claim for ${target}`)
  return delivery
}

async function claimedIds(outbox: Outbox, target: string, now = LATER): Promise<number[]> {
  return (await outbox.claim(target, 100, now)).deliveries.map(({ deliveryId }) => deliveryId)
}

/** Claims a target's next delivery and ends the attempt as said. */
async function attempt(
  outbox: Outbox,
  target: string,
  settlement: Settlement,
  given: Partial<Attempt> = {},
): Promise<Delivery> {
  const delivery = await claimOne(outbox, target, 10_000)
  const outcome = { delivered: 'delivered', dead: 'refused', pending: 'failed' } as const
  await outbox.settle(delivery, { ...attemptAt(delivery, outcome[settlement.state]), ...given }, settlement)
  return delivery
}

/** What every implementation has to hold to for its operator. */
export function operatorContract(name: string, open: OpenBothSides): void {
  async function opened(test: Test): Promise<BothSides> {
    const both = await open(test.testdir())
    test.teardown(async () => {
      await both.operator.close()
      await both.outbox.close()
    })
    return both
  }

  t.test(`${name}: an attempt at the former target does not end a delivery that was moved`, async (test) => {
    const { outbox, operator } = await open(test.testdir(), () => {})
    test.teardown(() => Promise.all([operator.close(), outbox.close()]))
    await outbox.record(newEvent(), to('old'))
    const delivery = await claimOne(outbox, 'old')
    const { deliveryId } = delivery
    test.equal(
      await operator.moveDeliveries({ deliveryIds: [deliveryId] }, { target: 'crm', ordered: false }, 2_000),
      1,
    )
    test.equal(await outbox.settle(delivery, attemptAt(delivery, 'delivered'), { state: 'delivered' }), 'retried')
    test.match(await operator.listDeliveries({}, 10), [{ deliveryId, target: 'crm', state: 'pending', attempts: 1 }])
    const moved = await claimOne(outbox, 'crm')
    test.match(moved, { deliveryId, roundAttempts: 0, attempts: 1 }, 'with a fresh budget')
    test.equal(await outbox.settle(moved, attemptAt(moved, 'delivered'), { state: 'delivered' }), 'settled')
    test.match(await operator.showDelivery(deliveryId), {
      state: 'delivered',
      history: [{ attempt: 1 }, { attempt: 2 }],
    })
    test.equal(
      await operator.moveDeliveries({ deliveryIds: [deliveryId] }, { target: 'old', ordered: false }, 3_000),
      0,
    )
  })

  t.test(`${name}: a recall is requested of the daemon, and answered with the attempts under way`, async (test) => {
    const requests: number[] = []
    const directory = test.testdir()
    const { outbox, operator } = await open(directory, (request) => requests.push(request))
    test.teardown(() => operator.close())
    const event = newEvent()
    await outbox.record(event, to('crm'))
    const { deliveryId } = await claimOne(outbox, 'crm')
    const first = (await operator.requestRecall())!
    const second = (await operator.requestRecall())!
    await eventually(() => requests.includes(second), 'the daemon has it')
    test.equal(await operator.recallAnswer(first), null)
    await outbox.answerRecall(first, [{ deliveryId, target: 'crm', startedAt: 1_500 }])
    test.same(await operator.recallAnswer(first), [
      { deliveryId, target: 'crm', startedAt: 1_500, eventId: event.eventId },
    ])
    test.equal(await operator.recallAnswer(second), null, 'what was changed for the second may have been claimed since')
    await outbox.answerRecall(second, [])
    test.same(await operator.recallAnswer(second), [])
    test.same(await operator.recallAnswer(first), [], 'a later answer serves all earlier requests')

    const unanswered = (await operator.requestRecall())!
    await outbox.close()
    test.same(await operator.recallAnswer(unanswered), [], 'a relay that has ended sends nothing')
    test.equal(await operator.requestRecall(), null, 'and is not asked')
    const restarted = await open(directory, (request) => requests.push(request))
    test.same(await operator.recallAnswer(unanswered), [], 'nor has one that has restarted claimed anything before')
    const next = (await operator.requestRecall())!
    await eventually(() => requests.includes(next), 'the restarted one has it')
    test.ok(next > unanswered, 'numbers are not used again')
    await restarted.operator.close()
    await restarted.outbox.close()
  })

  t.test(`${name}: a delivery that its target accepted while it was cancelled is found`, async (test) => {
    const { outbox, operator } = await opened(test)
    await outbox.record(newEvent(), to('crm'))
    await attempt(outbox, 'crm', DELIVERED)
    const event = newEvent()
    for (const each of [event, newEvent(), newEvent()]) await outbox.record(each, to('crm'))
    const [accepted, failed, rest] = (await outbox.claim('crm', 3, LATER)).deliveries
    const last = await operator.lastAttempt()
    await operator.cancelDeliveries({ deliveryIds: [accepted!.deliveryId, failed!.deliveryId] }, LATER)
    await outbox.settle(accepted!, attemptAt(accepted!, 'delivered'), DELIVERED)
    await outbox.settle(failed!, attemptAt(failed!, 'failed'), { state: 'pending', dueAt: LATER })
    await outbox.settle(rest!, attemptAt(rest!, 'delivered'), DELIVERED)
    test.same(await operator.cancelledButDelivered(last), [
      { deliveryId: accepted!.deliveryId, target: 'crm', eventId: event.eventId },
    ])
    test.same(await operator.cancelledButDelivered(await operator.lastAttempt()), [])
  })

  const contract = (title: string, run: (test: Test, both: BothSides) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => run(test, await opened(test)))

  contract('a retried dead delivery has the same id and event, and a fresh budget', async (t, { outbox, operator }) => {
    const event = newEvent()
    await outbox.record(event, to('crm'))
    await attempt(outbox, 'crm', { state: 'pending', dueAt: 3_000 })
    const { deliveryId } = await attempt(outbox, 'crm', DEAD)
    t.equal(await operator.retryDeliveries({ deliveryIds: [deliveryId] }, LATER), 1)
    t.match(await operator.showDelivery(deliveryId), { state: 'pending', dueAt: LATER, updatedAt: LATER, attempts: 2 })
    t.same(await claimedIds(outbox, 'crm', LATER - 1), [], 'due at once, and not before')

    const again = await claimOne(outbox, 'crm')
    t.match(again, { deliveryId, attempts: 2, round: 2, roundAttempts: 0, firstAttemptAt: null })
    t.equal(again.event.eventId, event.eventId)
    t.same(Buffer.from(again.event.body), Buffer.from(event.body))
    const failed = attemptAt(again, 'failed', LATER)
    t.equal(await outbox.settle(again, failed, { state: 'pending', dueAt: LATER + 10 }), 'settled')
    const next = await claimOne(outbox, 'crm', LATER + 10)
    t.match(next, { attempts: 3, round: 2, roundAttempts: 1, firstAttemptAt: LATER })
  })

  contract(
    'a delivery that always fails does not probe before others, though it was retried',
    async (t, { outbox, operator }) => {
      await outbox.record(newEvent({ eventId: 'always fails' }), to('crm'))
      await attempt(outbox, 'crm', { state: 'pending', dueAt: 3_000 })
      const { deliveryId } = await attempt(outbox, 'crm', DEAD)
      await outbox.record(newEvent({ eventId: 'failed once' }), to('crm'))
      await attempt(outbox, 'crm', { state: 'pending', dueAt: 3_000 })
      await operator.retryDeliveries({ deliveryIds: [deliveryId] }, LATER)
      const { deliveries } = await outbox.claim('crm', 2, LATER, { probe: true })
      t.same(
        deliveries.map(({ event }) => event.eventId),
        ['failed once', 'always fails'],
      )
    },
  )

  contract('a retry keeps the history of attempts, and goes on counting', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const { deliveryId } = await attempt(outbox, 'crm', DEAD, {
      error: 'http 400',
      status: 400,
      response: 'no',
      note: 'odd',
    })
    await operator.retryDeliveries({ deliveryIds: [deliveryId] }, LATER)
    t.match(await operator.showDelivery(deliveryId), { lastError: 'http 400', lastStatus: 400 }, 'until it is known')
    const again = await claimOne(outbox, 'crm')
    await outbox.settle(again, attemptAt(again, 'delivered', LATER), DELIVERED)
    const shown = await operator.showDelivery(deliveryId)
    t.match(shown, { state: 'delivered', attempts: 2, dueAt: null, lastError: null, lastStatus: 200 })
    t.match(shown?.history, [
      {
        attempt: 1,
        startedAt: 2_000,
        durationMs: 5,
        outcome: 'refused',
        status: 400,
        error: 'http 400',
        response: 'no',
        note: 'odd',
      },
      { attempt: 2, startedAt: LATER, outcome: 'delivered', status: 200, error: null, response: 'answer', note: null },
    ])
    t.equal(shown?.history.length, 2)
  })

  contract('delivered and cancelled ones can be retried too', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm', 'ops'))
    const { deliveryId: delivered } = await attempt(outbox, 'crm', DELIVERED)
    const [cancelled] = (await operator.findDeliveries({ target: 'ops' })).map(({ deliveryId }) => deliveryId)
    await operator.cancelDeliveries({ deliveryIds: [cancelled!] }, LATER)
    t.equal(await operator.retryDeliveries({ deliveryIds: [delivered, cancelled!] }, LATER), 2)
    t.same(await claimedIds(outbox, 'crm'), [delivered])
    t.same(await claimedIds(outbox, 'ops'), [cancelled])
  })

  contract('a retry of a pending one makes it due at once, with a fresh budget', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const { deliveryId } = await attempt(outbox, 'crm', { state: 'pending', dueAt: 99_000 })
    t.same(await claimedIds(outbox, 'crm'), [])
    t.equal(await operator.retryDeliveries({ deliveryIds: [deliveryId] }, LATER), 1)
    t.match(await claimOne(outbox, 'crm'), { attempts: 1, roundAttempts: 0, firstAttemptAt: null })
  })

  contract('a retry while an attempt is under way lets that attempt count', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const leased = await claimOne(outbox, 'crm')
    await operator.retryDeliveries({ deliveryIds: [leased.deliveryId] }, LATER)
    t.same(await claimedIds(outbox, 'crm'), [], 'it is not sent twice at a time')
    t.equal(await outbox.settle(leased, attemptAt(leased, 'delivered'), DELIVERED), 'settled')
    t.match(await operator.showDelivery(leased.deliveryId), { state: 'delivered', attempts: 1 })
  })

  contract('the rest of the filter says what is left alone by a change', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const { deliveryId } = await attempt(outbox, 'crm', { state: 'pending', dueAt: 3_000 })
    const found = { deliveryIds: [deliveryId], states: ['pending'] } as const
    await attempt(outbox, 'crm', DELIVERED)
    t.equal(await operator.retryDeliveries(found, LATER), 0, 'delivered while the operator was thinking')
    t.match(await operator.showDelivery(deliveryId), { state: 'delivered' })
    await operator.retryDeliveries({ deliveryIds: [deliveryId] }, LATER)
    t.equal(await operator.cancelDeliveries({ ...found, states: ['dead'] }, LATER), 0)
    t.match(await operator.showDelivery(deliveryId), { state: 'pending' })
  })

  contract('an id that there is not changes nothing', async (t, { operator }) => {
    t.equal(await operator.retryDeliveries({ deliveryIds: [99] }, LATER), 0)
    t.equal(await operator.cancelDeliveries({ deliveryIds: [99] }, LATER), 0)
    t.equal(await operator.showDelivery(99), null)
  })

  contract('cancelling ends pending and dead ones, and no others', async (t, { outbox, operator }) => {
    for (const target of ['pending', 'dead', 'delivered']) await outbox.record(newEvent(), to(target))
    await attempt(outbox, 'dead', DEAD)
    await attempt(outbox, 'delivered', DELIVERED)
    t.equal(await operator.cancelDeliveries({}, LATER), 2)
    t.equal(await operator.cancelDeliveries({}, LATER), 0, 'once is enough')
    const states = (await operator.listDeliveries({}, 10)).map(({ target, state }) => [target, state])
    t.same(Object.fromEntries(states), { pending: 'cancelled', dead: 'cancelled', delivered: 'delivered' })
    for (const target of ['pending', 'dead']) t.same(await claimedIds(outbox, target), [])
    const [dead] = await operator.listDeliveries({ target: 'dead' }, 1)
    t.match(dead, { attempts: 1, lastError: 'http 503', updatedAt: LATER }, 'why it was dead stays on record')
  })

  contract("a retried one of an ordered call takes its turn before the call's later ones", async (t, both) => {
    const { outbox, operator } = both
    const ids = await callOf(outbox, 3)
    await attempt(outbox, 'crm', DEAD)
    t.equal(await operator.retryDeliveries({ deliveryIds: [ids[0]!] }, LATER), 1)
    t.same(await claimedIds(outbox, 'crm'), [ids[0]])
    const second = (await operator.showDelivery(ids[1]!))!
    t.equal(second.state, 'pending')
    await settleLeased(outbox, ids[0]!, DELIVERED, { attempt: 2, round: 2 })
    t.same(await claimedIds(outbox, 'crm'), [ids[1]], 'then the second, before the third')
    await settleLeased(outbox, ids[1]!, DELIVERED)
    t.same(await claimedIds(outbox, 'crm'), [ids[2]])
  })

  contract('cancelling the one whose turn it is lets the next of its call go', async (t, { outbox, operator }) => {
    const ids = await callOf(outbox, 3)
    t.equal(await operator.cancelDeliveries({ deliveryIds: [ids[0]!] }, LATER), 1)
    t.same(await claimedIds(outbox, 'crm'), [ids[1]])
    t.equal(await operator.cancelDeliveries({ deliveryIds: [ids[2]!] }, LATER), 1, 'one that waits can be cancelled')
    t.same(await claimedIds(outbox, 'crm'), [])
  })

  for (const way of ['retry', 'cancel', 'replay'] as const) {
    contract(`a dead one that holds its call back does so until: ${way}`, async (t, { outbox, operator }) => {
      const ids = await callOf(outbox, 2)
      await attempt(outbox, 'crm', { state: 'dead', hold: true })
      t.same(await claimedIds(outbox, 'crm'), [])
      await operator.retryDeliveries({ deliveryIds: [ids[1]!] }, LATER)
      t.same(await claimedIds(outbox, 'crm'), [], 'hurrying one that waits does not let it go')

      const held = { deliveryIds: [ids[0]!] }
      if (way === 'cancel') await operator.cancelDeliveries(held, LATER)
      else {
        if (way === 'retry') await operator.retryDeliveries(held, LATER)
        else await replayTo(operator, { target: 'crm', ordered: true }, { event: 'call.0' })
        t.same(await claimedIds(outbox, 'crm'), [ids[0]], 'first the one that held')
        await settleLeased(outbox, ids[0]!, DELIVERED, { attempt: 2, round: 2 })
      }
      t.same(await claimedIds(outbox, 'crm'), [ids[1]])
    })
  }

  contract('redelivering what came before a dead one that holds does not let the later ones go', async (t, both) => {
    const { outbox, operator } = both
    const ids = await callOf(outbox, 3)
    await attempt(outbox, 'crm', DELIVERED)
    await attempt(outbox, 'crm', { state: 'dead', hold: true })
    t.equal(await operator.retryDeliveries({ deliveryIds: [ids[0]!] }, LATER), 1)
    t.same(await claimedIds(outbox, 'crm'), [ids[0]], 'it goes, for it is not what is held back')
    await settleLeased(outbox, ids[0]!, DELIVERED, { attempt: 2, round: 2 })
    t.same(await claimedIds(outbox, 'crm'), [], 'the third still waits for a decision about the second')
    await operator.cancelDeliveries({ deliveryIds: [ids[1]!] }, LATER)
    t.same(await claimedIds(outbox, 'crm'), [ids[2]])
  })

  contract('a replay makes what there is not, revives what has ended, and leaves what is pending', async (t, both) => {
    const { outbox, operator } = both
    const event = newEvent()
    await outbox.record(event, to('pending', 'dead', 'delivered'))
    await attempt(outbox, 'pending', { state: 'pending', dueAt: 90_000 })
    const { deliveryId: dead } = await attempt(outbox, 'dead', DEAD)
    const { deliveryId: delivered } = await attempt(outbox, 'delivered', DELIVERED)
    const eventSeq = (await operator.readEvents({}, 0, 1))[0]!.eventSeq
    const replay = { eventSeq, deliveries: to('pending', 'dead', 'delivered', 'fresh') }
    t.equal(await operator.replay([replay], LATER), 3)
    t.same(await claimedIds(outbox, 'pending'), [], 'it waits for its own time')
    t.match(await claimOne(outbox, 'dead'), { deliveryId: dead, roundAttempts: 0, event: { eventId: event.eventId } })
    t.match(await claimOne(outbox, 'delivered'), { deliveryId: delivered, round: 2 })
    t.match(await claimOne(outbox, 'fresh'), { attempts: 0, round: 1, event: { eventId: event.eventId } })
    t.equal(await operator.replay([replay], LATER), 0, 'all are pending now')
    t.equal((await operator.findDeliveries({})).length, 4)
  })

  contract('a replay of a call to an ordered target goes out in order', async (t, { outbox, operator }) => {
    for (const event of ['call.started', 'call.ended']) await outbox.record(newEvent({ event, callId: 'c' }), [])
    await outbox.record(newEvent({ callId: null, body: Buffer.from('{"event":"account.low"}') }), [])
    t.equal(await replayTo(operator, { target: 'new', ordered: true }, {}), 3)
    const { deliveries } = await outbox.claim('new', 9, LATER)
    t.same(
      deliveries.map(({ event: { callId } }) => callId),
      ['c', null],
      'one of the call, and what belongs to none',
    )
    t.equal(deliveries[0]!.event.event, 'call.started')
    await outbox.settle(deliveries[0]!, attemptAt(deliveries[0]!, 'delivered'), DELIVERED)
    t.equal((await claimOne(outbox, 'new')).event.event, 'call.ended')
  })

  contract('each filter finds what it says, and together they narrow', async (t, { outbox, operator }) => {
    await filled(outbox)
    const ids = async (filter: DeliveryFilter) =>
      (await operator.findDeliveries(filter)).map(({ deliveryId }) => deliveryId)
    const cases: [DeliveryFilter, number[]][] = [
      [{}, [1, 2, 3, 4]],
      [{ target: 'crm' }, [1, 3, 4]],
      [{ states: ['pending'] }, [4]],
      [{ states: ['dead'] }, [1, 2]],
      [{ states: ['delivered'] }, [3]],
      [{ states: ['cancelled'] }, []],
      [{ states: ['dead', 'pending'] }, [1, 2, 4]],
      [{ states: [] }, []],
      [{ deliveryIds: [2, 4, 99] }, [2, 4]],
      [{ deliveryIds: [] }, []],
      [{ error: 'ECONN' }, [1]],
      [{ error: '50%_' }, [2]],
      [{ eventIds: ['evt_a', 'evt_c'] }, [1, 2, 4]],
      [{ source: 'second' }, [3]],
      [{ event: 'call.*' }, [1, 2, 3]],
      [{ exceptSource: 'ultravox' }, [3]],
      [{ callId: 'call-b' }, [3]],
      [{ since: 2_000 }, [3, 4]],
      [{ until: 2_000 }, [1, 2]],
      [{ target: 'crm', states: ['dead'], error: 'refused', event: '*.ended', since: 1_000, until: 1_001 }, [1]],
    ]
    for (const [filter, expected] of cases) t.same(await ids(filter), expected, JSON.stringify(filter))
    t.same(await operator.findDeliveries({ deliveryIds: [2] }), [{ deliveryId: 2, target: 'ops' }])
  })

  contract('a pattern over event names takes only * as special', async (t, { outbox, operator }) => {
    for (const event of ['a.b', 'axb', 'a?b', 'a[x]b', 'A.B', 'a.b.c']) await outbox.record(newEvent({ event }), [])
    const cases: [string, string[]][] = [
      ['a.b', ['a.b']],
      ['a?b', ['a?b']],
      ['a[x]b', ['a[x]b']],
      ['a[*', ['a[x]b']],
      ['a*b', ['a.b', 'axb', 'a?b', 'a[x]b']],
      ['a.*', ['a.b', 'a.b.c']],
      ['*', ['a.b', 'axb', 'a?b', 'a[x]b', 'A.B', 'a.b.c']],
    ]
    for (const [event, expected] of cases) {
      const found = await operator.readEvents({ event }, 0, 10)
      t.same(
        found.map((each) => each.event),
        expected,
        event,
      )
      t.equal(await operator.countEvents({ event }), expected.length, event)
    }
  })

  contract('deliveries are listed with the newest first, no more than asked', async (t, { outbox, operator }) => {
    await filled(outbox)
    t.match(await operator.listDeliveries({}, 3), [
      {
        deliveryId: 4,
        state: 'pending',
        dueAt: 3_000,
        event: 'account.low',
        callId: null,
        attempts: 0,
        lastError: null,
      },
      { deliveryId: 3, state: 'delivered', dueAt: null, callId: 'call-b', attempts: 1, lastStatus: 200 },
      { deliveryId: 2, state: 'dead', dueAt: null, target: 'ops', eventId: 'evt_a', updatedAt: 2_005 },
    ])
    t.equal((await operator.listDeliveries({}, 3)).length, 3)
  })

  contract('lists of events and calls count deliveries by their state', async (t, { outbox, operator }) => {
    const call = (eventId: string, event: string, receivedAt: number) =>
      newEvent({ eventId, event, receivedAt, callId: 'call-1', account: 'default' })
    await outbox.record(call('evt_1a', 'call.started', 1_000), to('crm', 'ops'))
    await outbox.record(newEvent({ eventId: 'evt_2', callId: null, event: 'account.low' }), [])
    await outbox.record(call('evt_1b', 'call.ended', 3_000), to('late'))
    const claimed = await claimOne(outbox, 'crm')
    await outbox.settle(claimed, attemptAt(claimed, 'refused'), DEAD)
    const none = { pending: 0, failing: 0, delivered: 0, dead: 0, cancelled: 0 }
    t.match(await operator.listEvents({}, 9), [
      { eventId: 'evt_1b', deliveries: { ...none, pending: 1 } },
      { eventId: 'evt_2', deliveries: none },
      { eventId: 'evt_1a', deliveries: { ...none, pending: 1, dead: 1 } },
    ])
    const whole = {
      callId: 'call-1',
      source: 'ultravox',
      firstEvent: 'call.started',
      firstEventAt: 1_000,
      lastEventId: 'evt_1b',
      lastEvent: 'call.ended',
      lastEventAt: 3_000,
      events: 2,
      state: 'ended' as const,
      deliveries: { ...none, pending: 2, dead: 1 },
    }
    t.same(await operator.listCalls({}, 9), [whole])
    t.same(await operator.listCalls({ until: 2_000, deliveryStates: ['dead'] }, 9), [whole], 'one event is enough')
    t.same(await operator.listCalls({ since: 4_000 }, 9), [])
    t.same(await operator.findEvents('evt_1', 9), ['evt_1a', 'evt_1b'])
    t.same(await operator.findEvents('evt_1', 1), ['evt_1a'])
  })

  contract('lists can be read page by page', async (t, { outbox, operator }) => {
    await filled(outbox)
    for (const number of [1, 2, 3]) {
      // Two at the same time, as those of a burst are.
      const receivedAt = 1_000 + (number > 1 ? 1 : 0)
      await outbox.reject({
        source: 'ultravox',
        reason: 'timestamp_stale',
        receivedAt,
        requestId: `req_${number}`,
        peer: '::1',
        bytes: null,
        headers: '{}',
        kept: null,
      })
    }
    const pages = async <T>(read: (limit: number, before?: T) => Promise<T[]>) => {
      const rows: T[] = []
      for (let page = await read(1); page.length > 0; page = await read(1, rows.at(-1))) rows.push(...page)
      const whole = await read(100)
      t.ok(whole.length > 1)
      t.same(rows, whole)
    }
    await pages((limit, before?: DeliverySummary) => operator.listDeliveries({}, limit, before))
    await pages((limit, before?: DeliverySummary) => operator.listDeliveries({ target: 'crm' }, limit, before))
    await pages((limit, before?: ListedEvent) => operator.listEvents({}, limit, before))
    await pages((limit, before?: CallSummary) => operator.listCalls({}, limit, before))
    await pages((limit, before?: RejectionSummary) => operator.listRejections({}, limit, before))
    await t.rejects(operator.listEvents({}, 1, { eventId: 'evt_gone' }), { code: 'not_found' })
  })

  contract('events are listed with the newest first, and read whole in the order of arrival', async (t, both) => {
    const { outbox, operator } = both
    await filled(outbox)
    const listed = await operator.listEvents({}, 2)
    t.match(listed, [
      { eventId: 'evt_c', source: 'ultravox', event: 'account.low', callId: null, receivedAt: 3_000, duplicates: 0 },
      { eventId: 'evt_b', source: 'second', event: 'call.ended', callId: 'call-b', receivedAt: 2_000 },
    ])
    t.equal(listed.length, 2)
    t.notOk('body' in listed[0]!)
    const first = await operator.readEvents({}, 0, 2)
    t.same(
      first.map(({ eventId, body }) => [eventId, Buffer.from(body).toString()]),
      [
        ['evt_a', 'body a'],
        ['evt_b', 'body b'],
      ],
    )
    const rest = await operator.readEvents({}, first[1]!.eventSeq, 2)
    t.same(
      rest.map(({ eventId }) => eventId),
      ['evt_c'],
    )
    t.same(await operator.readEvents({}, rest[0]!.eventSeq, 2), [])
    const counted: [EventFilter, number][] = [
      [{}, 3],
      [{ callId: 'call-b' }, 1],
      [{ eventIds: ['evt_a', 'evt_x'] }, 1],
      [{ since: 2_000, until: 3_000 }, 1],
      [{ event: 'call.*', exceptSource: 'ultravox' }, 1],
    ]
    for (const [filter, count] of counted) t.equal(await operator.countEvents(filter), count, JSON.stringify(filter))
  })

  contract('a pause is seen by the daemon, and taken back', async (t, { outbox, operator }) => {
    t.same(await outbox.targetStates(), [])
    await operator.setPaused('crm', true, LATER)
    t.same(await outbox.targetStates(), [{ target: 'crm', paused: true, breaker: null, throttle: null }])
    await outbox.saveBreaker('crm', { probeAt: 9_000, cooldownMs: 30 }, LATER)
    t.match(await operator.listTargets(LATER), [{ paused: true, breaker: { probeAt: 9_000, cooldownMs: 30 } }])
    await operator.setPaused('crm', false, LATER)
    const breaker = { probeAt: 9_000, cooldownMs: 30 }
    t.same(await outbox.targetStates(), [{ target: 'crm', paused: false, breaker, throttle: null }])
  })

  contract('the uses of a source’s secrets are told from the first to the last', async (t, { outbox, operator }) => {
    t.same(await operator.secretUses('ultravox'), [])
    await outbox.saveSecretUse('ultravox', 'aaaaaaaa', 2_000)
    await outbox.saveSecretUse('ultravox', 'bbbbbbbb', 1_000)
    await outbox.saveSecretUse('ultravox', 'aaaaaaaa', 3_000)
    await outbox.saveSecretUse('ultravox', 'aaaaaaaa', 1_500)
    await outbox.saveSecretUse('other', 'cccccccc', 1_000)
    t.same(await operator.secretUses('ultravox'), [
      { fingerprint: 'bbbbbbbb', firstUsedAt: 1_000, lastUsedAt: 1_000 },
      { fingerprint: 'aaaaaaaa', firstUsedAt: 2_000, lastUsedAt: 3_000 },
    ])
  })

  contract('targets are listed with what waits for them', async (t, { outbox, operator }) => {
    await outbox.record(newEvent({ receivedAt: 4_000 }), to('crm'))
    await outbox.record(newEvent({ receivedAt: 3_000 }), to('crm', 'ops'))
    await attempt(outbox, 'crm', { state: 'pending', dueAt: 9_000 })
    await outbox.record(newEvent(), to('dead'))
    await attempt(outbox, 'dead', DEAD)
    await outbox.record(newEvent(), to('healthy'))
    await attempt(outbox, 'healthy', DELIVERED)
    await operator.setPaused('asleep', true, LATER)
    const nothing = {
      paused: false,
      breaker: null,
      pending: 0,
      retrying: 0,
      dead: 0,
      oldestDueAt: null,
      lastError: null,
    }
    const lastError = { error: 'http 503', at: 2_005 }
    t.match(await operator.listTargets(5_000), [
      { ...nothing, target: 'asleep', paused: true },
      { ...nothing, target: 'crm', pending: 2, due: 1, retrying: 1, oldestDueAt: 4_000, lastError },
      { ...nothing, target: 'dead', dead: 1, lastError },
      { ...nothing, target: 'healthy', deliveredPerMinute: 0.2 },
      { ...nothing, target: 'ops', pending: 1, due: 1, oldestDueAt: 3_000 },
    ])
    t.match(await operator.listTargets(3_500), [{}, { target: 'crm', oldestDueAt: null }], 'nothing is due yet')
  })

  contract('the counts of a target say why nothing is sent: due, in backoff, waiting or held', async (t, both) => {
    const { outbox, operator } = both
    const record = (callId: string, event: string) => outbox.record(newEvent({ callId, event }), ordered('crm'))
    for (const call of ['dead', 'failing', 'due']) {
      for (const event of ['call.started', 'call.joined', 'call.ended']) await record(call, event)
    }
    await attempt(outbox, 'crm', { state: 'dead', hold: true })
    await attempt(outbox, 'crm', { state: 'pending', dueAt: 9_000 })
    const counts = { pending: 8, due: 1, backoff: 1, waiting: 4, held: 2, heldCalls: 1, retrying: 1, dead: 1 }
    t.match(await operator.listTargets(5_000), [{ ...counts, oldestDueAt: 1_000, oldestHeldAt: 1_000 }])
    t.match(await operator.listTargets(9_000), [{ ...counts, due: 2, backoff: 0 }])
    t.same(await operator.findDeliveries({ holding: true }), [{ deliveryId: 1, target: 'crm' }])
    t.same(await operator.findDeliveries({ holding: true, states: ['pending'] }), [])
    await operator.retryDeliveries({ holding: true }, LATER)
    t.match(await operator.listTargets(LATER), [{ pending: 9, due: 3, waiting: 6, held: 0, oldestHeldAt: null }])
  })

  /** Deliveries of so many events of one call to the ordered target `crm`; their ids. */
  async function callOf(outbox: Outbox, events: number): Promise<number[]> {
    for (let number = 0; number < events; number++) {
      await outbox.record(newEvent({ event: `call.${number}`, callId: 'one-call' }), ordered('crm'))
    }
    return Array.from({ length: events }, (_, index) => index + 1)
  }

  /** Ends a lease that is known only by its delivery's id; nobody has tried it before. */
  async function settleLeased(
    outbox: Outbox,
    deliveryId: number,
    settlement: Settlement,
    { attempt, round }: { attempt: number; round: number } = { attempt: 1, round: 1 },
  ): Promise<void> {
    const event = newEvent()
    const leased = { deliveryId, target: 'crm', attempts: attempt - 1, round, roundAttempts: 0, firstAttemptAt: null }
    const delivery: Delivery = { ...leased, event }
    if (!(await outbox.settle(delivery, attemptAt(delivery, 'delivered'), settlement))) {
      throw new Error(`delivery ${deliveryId} could not be settled`)
    }
  }

  async function replayTo(operator: OutboxOperator, delivery: NewDelivery, filter: EventFilter): Promise<number> {
    const events = await operator.readEvents(filter, 0, 100)
    return operator.replay(
      events.map(({ eventSeq }) => ({ eventSeq, deliveries: [delivery] })),
      LATER,
    )
  }

  /** Four deliveries of three events, with ids from 1: dead, dead, delivered, pending. */
  async function filled(outbox: Outbox): Promise<void> {
    const body = (text: string) => ({ body: Buffer.from(text) })
    const first = { eventId: 'evt_a', callId: 'call-a', receivedAt: 1_000, ...body('body a') }
    const second = { eventId: 'evt_b', callId: 'call-b', receivedAt: 2_000, source: 'second', ...body('body b') }
    await outbox.record(newEvent(first), to('crm', 'ops'))
    await attempt(outbox, 'crm', DEAD, { error: 'ECONNREFUSED: refused' })
    await attempt(outbox, 'ops', DEAD, { error: 'http 503: 50%_' })
    await outbox.record(newEvent(second), to('crm'))
    await attempt(outbox, 'crm', DELIVERED)
    const third = { eventId: 'evt_c', callId: null, event: 'account.low', receivedAt: 3_000, ...body('body c') }
    await outbox.record(newEvent(third), to('crm'))
  }
}
