import t, { type Test } from 'tap'
import type { Attempt, Delivery, NewDelivery, Settlement } from '../../src/domain/delivery.ts'
import type { CallOrderSetting, Outbox } from '../../src/outbox/outbox.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const DELIVERED: Settlement = { state: 'delivered' }
const DEAD: Settlement = { state: 'dead' }
const HELD: Settlement = { state: 'dead', hold: true }

const NOW = 50_000

const postponed = (dueAt: number): Settlement => ({ state: 'pending', dueAt })
const OUTCOMES = { delivered: 'delivered', dead: 'refused', pending: 'failed' } as const

async function claim(outbox: Outbox, now = NOW, target = 'crm'): Promise<Delivery[]> {
  return (await outbox.claim(target, 100, now)).deliveries
}

async function claimOne(outbox: Outbox, now = NOW): Promise<Delivery> {
  const [delivery, ...more] = await claim(outbox, now)
  if (delivery === undefined || more.length > 0) throw new Error('not one delivery to claim')
  return delivery
}

const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ deliveryId }) => deliveryId)

function settle(outbox: Outbox, delivery: Delivery, settlement: Settlement, given: Partial<Attempt> = {}) {
  return outbox.settle(delivery, { ...attemptAt(delivery, OUTCOMES[settlement.state], NOW), ...given }, settlement)
}

/** Brings the outbox in line with a configuration in which `crm` is ordered so; returns how many steps it took. */
async function configure(outbox: Outbox, order: CallOrderSetting, target = 'crm'): Promise<number> {
  const settings = [{ target, order, paused: false, maxDelayMs: 60_000 }]
  for (let steps = 1; ; steps++) if (await outbox.applyTargets(settings, NOW)) return steps
}

/** What an outbox promises while attempts are under way and operators and reloads act on their deliveries. */
export function queueContract(name: string, open: OpenBothSides): void {
  async function opened(test: Test): Promise<BothSides> {
    const both = await open(test.testdir())
    test.teardown(async () => {
      await both.operator.close()
      await both.outbox.close()
    })
    return both
  }

  const contract = (title: string, run: (test: Test, both: BothSides) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => run(test, await opened(test)))

  /** The events of one call, delivered to `crm`; the ids of the deliveries. */
  async function callOf(outbox: Outbox, events: number, ordered = true, callId = 'one-call'): Promise<number[]> {
    const ids: number[] = []
    for (let number = 0; number < events; number++) {
      await outbox.record(newEvent({ event: `call.${number}`, callId }), [{ target: 'crm', ordered }])
    }
    for (let number = 0; number < events; number++) ids.push(number + 1)
    return ids
  }

  for (const settlement of [DELIVERED, postponed(60_000), DEAD]) {
    contract(
      `a cancelled delivery stays cancelled, and its attempt is on record: ${settlement.state}`,
      async (t, both) => {
        const { outbox, operator } = both
        await outbox.record(newEvent(), to('crm'))
        const leased = await claimOne(outbox)
        const { deliveryId } = leased
        t.equal(await operator.cancelDeliveries({ deliveryIds: [deliveryId] }, NOW), 1)
        t.equal(await settle(outbox, leased, settlement), 'cancelled')
        const outcome = OUTCOMES[settlement.state]
        const isDelivered = outcome === 'delivered'
        t.match(await operator.showDelivery(deliveryId), {
          state: 'cancelled',
          attempts: 1,
          lastStatus: isDelivered ? 200 : 503,
          lastError: isDelivered ? null : 'http 503',
          history: [{ attempt: 1, outcome, response: 'answer' }],
        })
        t.same(await claim(outbox, 99_000), [])
        t.equal(await operator.retryDeliveries({ deliveryIds: [deliveryId] }, NOW), 1)
        t.match(await claimOne(outbox), { deliveryId, attempts: 1, roundAttempts: 0 }, 'a retry goes on counting')
      },
    )
  }

  contract('only the one who has a delivery in hand settles it, and once', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const leased = await claimOne(outbox)
    await outbox.release(leased)
    t.equal(await settle(outbox, leased, DELIVERED), 'gone')
    const again = await claimOne(outbox)
    const twice = await Promise.all([settle(outbox, again, postponed(1)), settle(outbox, again, DELIVERED)])
    t.same(twice, ['settled', 'gone'])
    t.match(await operator.showDelivery(leased.deliveryId), {
      state: 'pending',
      attempts: 1,
      history: [{ attempt: 1 }],
    })
  })

  contract('what is no longer on record is gone, and so is its attempt', async (t, { outbox, operator }) => {
    await outbox.record(newEvent(), to('crm'))
    const leased = await claimOne(outbox)
    await operator.cancelDeliveries({}, NOW)
    const policy = { deliveredMs: 0, deadMs: 0, rejectionsMs: 0, keysMs: 99_000, maxSizeBytes: null }
    while ((await outbox.prune(policy, NOW + 1)).more);
    t.equal(await settle(outbox, leased, DELIVERED), 'gone')
    t.equal(await operator.showDelivery(leased.deliveryId), null)
  })

  for (const settlement of [postponed(90_000), DEAD]) {
    contract(`a retry during an attempt outlasts it: ${settlement.state}`, async (t, { outbox, operator }) => {
      await outbox.record(newEvent(), to('crm'))
      await settle(outbox, await claimOne(outbox), postponed(2_000))
      const second = await claimOne(outbox)
      t.equal(await operator.retryDeliveries({ deliveryIds: [second.deliveryId] }, NOW), 1)
      t.same(await claim(outbox), [], 'it is not sent twice at a time')
      t.equal(await settle(outbox, second, settlement), 'retried')
      const shown = await operator.showDelivery(second.deliveryId)
      t.match(shown, { state: 'pending', dueAt: NOW, attempts: 2, lastError: 'http 503' })
      t.match(shown?.history, [{ attempt: 1 }, { attempt: 2, outcome: OUTCOMES[settlement.state] }])
      const third = await claimOne(outbox)
      t.match(third, { attempts: 2, roundAttempts: 0, firstAttemptAt: null }, 'the whole budget is left')
      t.equal(await settle(outbox, third, postponed(3_000)), 'settled')
      t.match(await claimOne(outbox), { attempts: 3, roundAttempts: 1, firstAttemptAt: NOW })
    })
  }

  contract('a delivery that was retried during its attempt and is delivered is not sent again', async (t, both) => {
    const { outbox, operator } = both
    for (const way of ['retry', 'cancel and retry']) {
      await outbox.record(newEvent(), to('crm'))
      const leased = await claimOne(outbox)
      const one = { deliveryIds: [leased.deliveryId] }
      if (way !== 'retry') await operator.cancelDeliveries(one, NOW)
      await operator.retryDeliveries(one, NOW)
      t.equal(await settle(outbox, leased, DELIVERED), 'settled', way)
      t.match(await operator.showDelivery(leased.deliveryId), { state: 'delivered', attempts: 1, history: [{}] })
      t.same(await claim(outbox), [])
    }
  })

  contract('what is cancelled and retried is not claimed before its attempt has ended', async (t, both) => {
    const { outbox, operator } = both
    await outbox.record(newEvent(), to('crm'))
    const leased = await claimOne(outbox)
    const one = { deliveryIds: [leased.deliveryId] }
    await operator.cancelDeliveries(one, NOW)
    await operator.retryDeliveries(one, NOW)
    t.same(await claim(outbox), [])
    t.equal(await settle(outbox, leased, postponed(90_000)), 'retried')
    t.match(await claimOne(outbox), { deliveryId: leased.deliveryId, attempts: 1, round: 2, roundAttempts: 0 })
  })

  contract('a retry that supersedes a dead settlement does not hold the call', async (t, { outbox, operator }) => {
    const [first, second] = await callOf(outbox, 2)
    const leased = await claimOne(outbox)
    await operator.retryDeliveries({ deliveryIds: [first!] }, NOW)
    t.equal(await settle(outbox, leased, HELD), 'retried')
    await settle(outbox, await claimOne(outbox), DELIVERED)
    t.same(idsOf(await claim(outbox)), [second])
  })

  for (const way of ['settle', 'release'] as const) {
    contract(`the next of a call waits for the attempt at a cancelled one: ${way}`, async (t, { outbox, operator }) => {
      const [first, second] = await callOf(outbox, 2)
      await outbox.record(newEvent({ event: 'other' }), to('crm'))
      const leased = (await outbox.claim('crm', 1, NOW)).deliveries[0]!
      t.equal(leased.deliveryId, first)
      await operator.cancelDeliveries({ deliveryIds: [first!] }, NOW)
      t.same(idsOf((await outbox.claim('crm', 1, NOW)).deliveries), [3], 'it does not keep others from being claimed')
      t.same(await outbox.claim('crm', 9, NOW), { deliveries: [], nextDueAt: null })
      if (way === 'settle') await settle(outbox, leased, DELIVERED)
      else await outbox.release(leased)
      t.same(idsOf(await claim(outbox)), [second])
    })
  }

  contract('a new event of a call waits for the attempt at a cancelled one', async (t, { outbox, operator }) => {
    await callOf(outbox, 1)
    const leased = await claimOne(outbox)
    await operator.cancelDeliveries({}, NOW)
    const lease: NewDelivery[] = [{ target: 'crm', ordered: true, lease: true }]
    const recorded = await outbox.record(newEvent({ event: 'call.ended', callId: 'one-call' }), lease)
    t.same(recorded.leased, [])
    t.same(await claim(outbox), [])
    await settle(outbox, leased, DELIVERED)
    t.match(await claimOne(outbox), { event: { event: 'call.ended' } })
  })

  contract('in a target that is not ordered nothing waits for an attempt', async (t, { outbox, operator }) => {
    await callOf(outbox, 2, false)
    const leased = (await outbox.claim('crm', 1, NOW)).deliveries[0]!
    await operator.cancelDeliveries({ deliveryIds: [leased.deliveryId] }, NOW)
    t.same(idsOf(await claim(outbox)), [2])
    const lease: NewDelivery[] = [{ target: 'crm', ordered: false, lease: true }]
    const recorded = await outbox.record(newEvent({ event: 'call.ended', callId: 'one-call' }), lease)
    t.equal(recorded.leased.length, 1)
  })

  contract('an older delivery that is retried goes before a younger one in backoff', async (t, both) => {
    const { outbox, operator } = both
    const [first, second, third] = await callOf(outbox, 3)
    await settle(outbox, await claimOne(outbox), DEAD)
    await settle(outbox, await claimOne(outbox), postponed(NOW + 25_000))
    await operator.retryDeliveries({ deliveryIds: [first!] }, NOW)
    const retried = await claimOne(outbox)
    t.equal(retried.deliveryId, first)
    t.same(await claim(outbox, NOW + 30_000), [], 'and the younger one waits for it, though it is due')
    await settle(outbox, retried, postponed(NOW + 60_000))
    t.same(await outbox.claim('crm', 9, NOW + 30_000), { deliveries: [], nextDueAt: NOW + 60_000 })
    await settle(outbox, await claimOne(outbox, NOW + 60_000), DELIVERED)
    t.same(await outbox.claim('crm', 9, NOW), { deliveries: [], nextDueAt: NOW + 25_000 }, 'due as before')
    const backoff = await claimOne(outbox, NOW + 25_000)
    t.match(backoff, { deliveryId: second, attempts: 1, roundAttempts: 1 })
    await settle(outbox, backoff, DELIVERED)
    t.equal((await claimOne(outbox)).deliveryId, third)
  })

  for (const settlement of [DELIVERED, postponed(NOW + 1), DEAD]) {
    contract(
      `an older delivery that is retried comes after the attempt under way: ${settlement.state}`,
      async (t, both) => {
        const { outbox, operator } = both
        const [first, second, third] = await callOf(outbox, 3)
        await settle(outbox, await claimOne(outbox), DEAD)
        const younger = await claimOne(outbox)
        t.equal(younger.deliveryId, second)
        await operator.retryDeliveries({ deliveryIds: [first!] }, NOW)
        t.same(await claim(outbox), [])
        t.equal(await settle(outbox, younger, settlement), 'settled')
        const older = await claimOne(outbox)
        t.equal(older.deliveryId, first)
        await settle(outbox, older, DELIVERED)
        const next = await claimOne(outbox, NOW + 1)
        t.equal(next.deliveryId, settlement.state === 'pending' ? second : third)
      },
    )
  }

  contract('an older event that reaches a target later goes before what waits there', async (t, both) => {
    const { outbox, operator } = both
    await configure(outbox, 'release')
    const older = newEvent({ event: 'call.started', callId: 'a', source: 'webhook', account: 'sales' })
    await outbox.record(older, [])
    await outbox.record(newEvent({ event: 'call.ended', callId: 'a' }), to('crm'))
    await settle(outbox, await claimOne(outbox), postponed(NOW + 9_000))
    const { eventSeq } = (await operator.readEvents({ event: 'call.started' }, 0, 1))[0]!
    t.equal(await operator.replay([{ eventSeq, deliveries: to('crm') }], NOW), 1)
    t.match(await claimOne(outbox), { event: { event: 'call.started' } })

    const second = newEvent({ event: 'call.started', callId: 'b', source: 'webhook', account: 'sales' })
    await outbox.record(second, [])
    await outbox.record(newEvent({ event: 'call.ended', callId: 'b' }), to('crm'))
    await outbox.record({ ...second, eventId: 'evt_again', source: 'callbacks' }, to('crm'))
    t.match(await claimOne(outbox), { event: { event: 'call.started' } }, 'through a second source')
  })

  contract('a target that is no longer ordered, or does not hold any more, lets go what waits', async (t, both) => {
    const { outbox } = both
    for (const order of ['none', 'release'] as const) {
      await configure(outbox, 'hold')
      const before = (await claim(outbox, 0)).length
      t.equal(before, 0)
      await callOf(outbox, 3, true, `call-${order}`)
      await settle(outbox, await claimOne(outbox), HELD)
      t.same(await claim(outbox), [])
      await configure(outbox, order)
      const free = await claim(outbox)
      t.equal(free.length, order === 'none' ? 2 : 1, order)
      for (const delivery of free) await settle(outbox, delivery, DELIVERED)
      await outbox.record(newEvent({ event: 'call.new', callId: `call-${order}` }), [{ target: 'crm', ordered: true }])
      const rest = await claim(outbox)
      t.equal(rest.length, 1)
      await settle(outbox, rest[0]!, DELIVERED)
      for (const delivery of await claim(outbox)) await settle(outbox, delivery, DELIVERED)
    }
  })

  contract('a lane of the configuration before does not make a new hold', async (t, { outbox }) => {
    await configure(outbox, 'hold')
    const [, second] = await callOf(outbox, 2)
    const leased = await claimOne(outbox)
    await configure(outbox, 'release')
    t.equal(await settle(outbox, leased, HELD), 'settled')
    t.same(idsOf(await claim(outbox)), [second])
  })

  contract(
    'a target that becomes ordered sends one delivery of a call at a time, the oldest first',
    async (t, both) => {
      const { outbox, operator } = both
      await configure(outbox, 'none')
      const [first, second, third, fourth] = await callOf(outbox, 4, false)
      const early = (await outbox.claim('crm', 2, NOW)).deliveries
      t.same(idsOf(early), [first, second])
      await configure(outbox, 'release')
      t.same(await claim(outbox), [], 'while attempts from before are under way')
      await settle(outbox, early[1]!, DELIVERED)
      t.same(await claim(outbox), [])
      await settle(outbox, early[0]!, postponed(NOW))
      const retried = await claimOne(outbox)
      t.equal(retried.deliveryId, first)
      await settle(outbox, retried, DELIVERED)
      t.same(idsOf(await claim(outbox)), [third])
      t.equal(await operator.cancelDeliveries({ deliveryIds: [third!] }, NOW), 1)
      t.same(await claim(outbox), [], `${fourth} waits for the attempt at ${third}`)
    },
  )

  for (const way of ['retry', 'replay'] as const) {
    contract(`what has ended before a target was ordered is ordered now: ${way}`, async (t, { outbox, operator }) => {
      await configure(outbox, 'none')
      const ids = await callOf(outbox, 3, false)
      for (const delivery of await claim(outbox)) await settle(outbox, delivery, DELIVERED)
      await configure(outbox, 'release')
      const redeliver = async () => {
        if (way === 'retry') return operator.retryDeliveries({}, NOW)
        const events = await operator.readEvents({}, 0, 9)
        const replays = events.map(({ eventSeq }) => ({ eventSeq, deliveries: to('crm') }))
        return operator.replay(replays, NOW)
      }
      t.equal(await redeliver(), 3)
      for (const id of ids) {
        const delivery = await claimOne(outbox)
        t.equal(delivery.deliveryId, id)
        await settle(outbox, delivery, DELIVERED)
      }
      await configure(outbox, 'none')
      t.equal(await redeliver(), 3)
      t.equal((await claim(outbox)).length, 3, 'and back')
    })
  }

  contract('the order of many deliveries is changed in steps, and once', async (t, { outbox }) => {
    const calls = 400
    await configure(outbox, 'none')
    const events = Array.from({ length: 3 * calls }, (_, n) =>
      newEvent({ event: `e${n}`, callId: `call-${n % calls}` }),
    )
    await Promise.all(events.map((event) => outbox.record(event, to('crm', 'other'))))
    t.ok((await configure(outbox, 'hold')) > 3)
    t.equal((await outbox.claim('crm', 9_999, NOW)).deliveries.length, calls)
    t.equal((await outbox.claim('other', 9_999, NOW)).deliveries.length, 3 * calls, 'another target is left alone')
    t.equal(await configure(outbox, 'hold'), 1)
    t.equal(await configure(outbox, 'release'), 1, 'the order is there already')
    t.ok((await configure(outbox, 'none')) > 3)
    t.equal((await outbox.claim('crm', 9_999, NOW)).deliveries.length, 2 * calls)
  })

  t.test(`${name}: a change of order that was cut off by a crash is made after it`, async (t) => {
    const directory = t.testdir()
    const { outbox, operator } = await open(directory)
    await configure(outbox, 'none')
    const events = Array.from({ length: 900 }, (_, n) => newEvent({ event: `e${n}`, callId: `call-${n % 300}` }))
    await Promise.all(events.map((event) => outbox.record(event, to('crm'))))
    const settings = [{ target: 'crm', order: 'release', paused: false, maxDelayMs: 60_000 } as const]
    t.equal(await outbox.applyTargets(settings, NOW), false)
    await operator.close()
    await outbox.close()
    const again = await open(directory)
    t.teardown(async () => {
      await again.operator.close()
      await again.outbox.close()
    })
    t.ok((await configure(again.outbox, 'release')) > 1)
    t.equal((await again.outbox.claim('crm', 9_999, NOW)).deliveries.length, 300)
  })

  contract('a target that has left the configuration keeps its order', async (t, { outbox, operator }) => {
    await configure(outbox, 'hold')
    const [first, second] = await callOf(outbox, 2)
    await settle(outbox, await claimOne(outbox), HELD)
    await configure(outbox, 'none', 'other')
    t.same(await claim(outbox), [])
    await operator.retryDeliveries({ deliveryIds: [first!] }, NOW)
    await settle(outbox, await claimOne(outbox), DELIVERED)
    t.same(idsOf(await claim(outbox)), [second])
  })
}
