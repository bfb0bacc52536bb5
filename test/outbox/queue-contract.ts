import t, { type Test } from 'tap'
import type { Attempt, Delivery, Settlement } from '../../src/domain/delivery.ts'
import type { CallOrderSetting, Claim, Outbox, Settled } from '../../src/outbox/outbox.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent } from './samples.ts'

const DELIVERED: Settlement = { state: 'delivered' }
const DEAD: Settlement = { state: 'dead' }
const HELD: Settlement = { state: 'dead', hold: true }

const NOW = 50_000

const postponed = (dueAt: number): Settlement => ({ state: 'pending', dueAt })
const OUTCOMES = { delivered: 'delivered', dead: 'refused', pending: 'failed' } as const

const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ deliveryId }) => deliveryId)

/** One target's queue in an outbox that others use as well. */
class Queue {
  readonly outbox: Outbox
  readonly operator: BothSides['operator']
  readonly target: string

  constructor({ outbox, operator }: BothSides, target: string) {
    this.outbox = outbox
    this.operator = operator
    this.target = target
  }

  /** Records events of one call; returns the ids of their deliveries. */
  async record(events: number, ordered = true, callId = `call-of-${this.target}`): Promise<number[]> {
    const before = (await this.operator.findDeliveries({ target: this.target })).length
    for (let number = 0; number < events; number++) {
      const event = newEvent({ event: `call.${before + number}`, callId })
      await this.outbox.record(event, [{ target: this.target, ordered }])
    }
    const found = await this.operator.findDeliveries({ target: this.target })
    return found.slice(before).map(({ deliveryId }) => deliveryId)
  }

  ask(limit = 9_999, now = NOW): Promise<Claim> {
    return this.outbox.claim(this.target, limit, now)
  }

  async claim(limit = 9_999, now = NOW): Promise<Delivery[]> {
    return (await this.ask(limit, now)).deliveries
  }

  async claimOne(now = NOW): Promise<Delivery> {
    const [delivery, ...more] = await this.claim(9_999, now)
    if (delivery === undefined || more.length > 0) throw new Error('not one delivery to claim')
    return delivery
  }

  settle(delivery: Delivery, settlement: Settlement, given: Partial<Attempt> = {}): Promise<Settled> {
    const attempt = { ...attemptAt(delivery, OUTCOMES[settlement.state], NOW), ...given }
    return this.outbox.settle(delivery, attempt, settlement)
  }

  /** Claims the only delivery that can be claimed, and settles it. */
  async attempt(settlement: Settlement): Promise<Delivery> {
    const delivery = await this.claimOne()
    await this.settle(delivery, settlement)
    return delivery
  }

  retry(...deliveryIds: number[]): Promise<number> {
    return this.operator.retryDeliveries({ target: this.target, deliveryIds }, NOW)
  }

  cancel(...deliveryIds: number[]): Promise<number> {
    return this.operator.cancelDeliveries({ target: this.target, deliveryIds }, NOW)
  }

  show(deliveryId: number) {
    return this.operator.showDelivery(deliveryId)
  }

  /** Replays these events of the target to it. */
  async replay(event: string): Promise<number> {
    const events = await this.operator.readEvents({ event, callId: `call-of-${this.target}` }, 0, 99)
    const deliveries = [{ target: this.target, ordered: false }]
    return this.operator.replay(
      events.map(({ eventSeq }) => ({ eventSeq, deliveries })),
      NOW,
    )
  }

  /** Brings the outbox in line with a configuration that orders the target so; returns how many steps it took. */
  async configure(order: CallOrderSetting, target = this.target): Promise<number> {
    const settings = [{ target, order, paused: false, maxDelayMs: 60_000 }]
    for (let steps = 1; ; steps++) if ((await this.outbox.applyTargets(settings, NOW)).length === 0) return steps
  }
}

async function close({ outbox, operator }: BothSides): Promise<void> {
  await operator.close()
  await outbox.close()
}

/** What an outbox promises while attempts are under way and operators and reloads act on their deliveries. */
export function queueContract(name: string, open: OpenBothSides): void {
  t.test(`${name}: queue`, async (t) => {
    const shared = await open(t.testdir())
    t.teardown(() => close(shared))
    let targets = 0

    /** Each has a target of its own in an outbox that all share: to open one takes longer than most of these. */
    const contract = (title: string, run: (test: Test, queue: Queue) => Promise<void>) =>
      t.test(title, async (test) => run(test, new Queue(shared, `target-${++targets}`)))

    for (const settlement of [DELIVERED, postponed(60_000), DEAD]) {
      contract(
        `a cancelled delivery stays cancelled, and its attempt is on record: ${settlement.state}`,
        async (t, queue) => {
          const [deliveryId] = (await queue.record(1)) as [number]
          const leased = await queue.claimOne()
          t.equal(await queue.cancel(deliveryId), 1)
          t.equal(await queue.settle(leased, settlement), 'cancelled')
          const outcome = OUTCOMES[settlement.state]
          const isDelivered = outcome === 'delivered'
          t.match(await queue.show(deliveryId), {
            state: 'cancelled',
            attempts: 1,
            lastStatus: isDelivered ? 200 : 503,
            lastError: isDelivered ? null : 'http 503',
            history: [{ attempt: 1, outcome, response: 'answer' }],
          })
          t.same(await queue.claim(9, 99_000), [])
          t.equal(await queue.retry(deliveryId), 1)
          t.match(await queue.claimOne(), { deliveryId, attempts: 1, roundAttempts: 0 }, 'a retry goes on counting')
        },
      )
    }

    contract('only who has a delivery in hand settles it, and once', async (t, queue) => {
      const [deliveryId] = (await queue.record(1)) as [number]
      const leased = await queue.claimOne()
      await queue.outbox.release(leased)
      t.equal(await queue.settle(leased, DELIVERED), 'gone')
      const again = await queue.claimOne()
      t.same(await Promise.all([queue.settle(again, postponed(1)), queue.settle(again, DELIVERED)]), [
        'settled',
        'gone',
      ])
      t.match(await queue.show(deliveryId), { state: 'pending', attempts: 1, history: [{ attempt: 1 }] })
    })

    contract('a delivery that was pruned during its attempt is gone', async (t, queue) => {
      const [deliveryId] = (await queue.record(1)) as [number]
      const leased = await queue.claimOne()
      await queue.cancel(deliveryId)
      const policy = { deliveredMs: 0, deadMs: 0, rejectionsMs: 0, keysMs: 99_000, maxSizeBytes: null }
      while ((await queue.outbox.prune(policy, NOW + 1)).more);
      t.equal(await queue.settle(leased, DELIVERED), 'gone')
      t.equal(await queue.show(deliveryId), null)
    })

    for (const settlement of [postponed(90_000), DEAD]) {
      contract(`a retry given during an attempt holds after it: ${settlement.state}`, async (t, queue) => {
        const [deliveryId] = (await queue.record(1)) as [number]
        await queue.attempt(postponed(2_000))
        const second = await queue.claimOne()
        t.equal(await queue.retry(deliveryId), 1)
        t.same(await queue.claim(), [], 'it is not sent twice at a time')
        t.equal(await queue.settle(second, settlement), 'retried')
        const shown = await queue.show(deliveryId)
        t.match(shown, { state: 'pending', dueAt: NOW, attempts: 2, lastError: 'http 503' })
        t.match(shown?.history, [{ attempt: 1 }, { attempt: 2, outcome: OUTCOMES[settlement.state] }])
        const third = await queue.claimOne()
        t.match(third, { attempts: 2, roundAttempts: 0, firstAttemptAt: null }, 'the whole budget is left')
        t.equal(await queue.settle(third, postponed(3_000)), 'settled')
        t.match(await queue.claimOne(), { attempts: 3, roundAttempts: 1, firstAttemptAt: NOW })
      })
    }

    for (const way of ['retry', 'cancel and retry']) {
      contract(`what was retried during its attempt and is delivered is not sent again: ${way}`, async (t, queue) => {
        const [deliveryId] = (await queue.record(1)) as [number]
        const leased = await queue.claimOne()
        if (way !== 'retry') await queue.cancel(deliveryId)
        await queue.retry(deliveryId)
        t.equal(await queue.settle(leased, DELIVERED), 'settled')
        t.match(await queue.show(deliveryId), { state: 'delivered', attempts: 1, history: [{ attempt: 1 }] })
        t.same(await queue.claim(), [])
      })
    }

    contract('what is cancelled and retried is not claimed before its attempt has ended', async (t, queue) => {
      const [deliveryId] = (await queue.record(1)) as [number]
      const leased = await queue.claimOne()
      await queue.cancel(deliveryId)
      await queue.retry(deliveryId)
      t.same(await queue.claim(), [])
      t.equal(await queue.settle(leased, postponed(90_000)), 'retried')
      t.match(await queue.claimOne(), { deliveryId, attempts: 1, round: 2, roundAttempts: 0 })
    })

    contract('a rejection that a retry supersedes does not hold the call', async (t, queue) => {
      const [first, second] = (await queue.record(2)) as [number, number]
      const leased = await queue.claimOne()
      await queue.retry(first)
      t.equal(await queue.settle(leased, HELD), 'retried')
      t.equal((await queue.attempt(DELIVERED)).deliveryId, first)
      t.same(idsOf(await queue.claim()), [second])
    })

    for (const way of ['settle', 'release'] as const) {
      contract(`the next of a call waits for the attempt at a cancelled one: ${way}`, async (t, queue) => {
        const [first, second] = (await queue.record(2)) as [number, number]
        const [other] = await queue.record(1, true, `another-${way}`)
        const leased = (await queue.claim(1))[0]!
        t.equal(leased.deliveryId, first)
        await queue.cancel(first)
        t.same(idsOf(await queue.claim(1)), [other], 'it does not keep others from being claimed')
        t.same(await queue.ask(), { deliveries: [], nextDueAt: null })
        if (way === 'settle') await queue.settle(leased, DELIVERED)
        else await queue.outbox.release(leased)
        t.same(idsOf(await queue.claim()), [second])
      })
    }

    contract('a new event of a call waits for the attempt at a cancelled one', async (t, queue) => {
      const { outbox, target } = queue
      const [first] = (await queue.record(1)) as [number]
      const leased = await queue.claimOne()
      await queue.cancel(first)
      const event = newEvent({ event: 'call.ended', callId: `call-of-${target}` })
      t.same((await outbox.record(event, [{ target, ordered: true, lease: true }])).leased, [])
      t.same(await queue.claim(), [])
      await queue.settle(leased, DELIVERED)
      t.match(await queue.claimOne(), { event: { event: 'call.ended' } })
    })

    contract('in a target that is not ordered nothing waits for an attempt', async (t, queue) => {
      const { outbox, target } = queue
      const [first, second] = (await queue.record(2, false)) as [number, number]
      await queue.claim(1)
      await queue.cancel(first)
      t.same(idsOf(await queue.claim()), [second])
      const event = newEvent({ event: 'call.ended', callId: `call-of-${target}` })
      t.equal((await outbox.record(event, [{ target, ordered: false, lease: true }])).leased.length, 1)
    })

    contract('an older delivery that is retried goes before a younger one in backoff', async (t, queue) => {
      const [first, second, third] = (await queue.record(3)) as [number, number, number]
      await queue.attempt(DEAD)
      await queue.attempt(postponed(NOW + 25_000))
      await queue.retry(first)
      const retried = await queue.claimOne()
      t.equal(retried.deliveryId, first)
      t.same(await queue.claim(9, NOW + 30_000), [], 'the younger one waits for it, though it is due')
      await queue.settle(retried, postponed(NOW + 60_000))
      t.same(await queue.ask(9, NOW + 30_000), { deliveries: [], nextDueAt: NOW + 60_000 })
      await queue.settle(await queue.claimOne(NOW + 60_000), DELIVERED)
      t.same(await queue.ask(), { deliveries: [], nextDueAt: NOW + 25_000 }, 'due as before')
      const backoff = await queue.claimOne(NOW + 25_000)
      t.match(backoff, { deliveryId: second, attempts: 1, roundAttempts: 1 })
      await queue.settle(backoff, DELIVERED)
      t.equal((await queue.claimOne()).deliveryId, third)
    })

    for (const settlement of [DELIVERED, postponed(NOW + 1), DEAD]) {
      contract(
        `an older delivery that is retried comes after the attempt under way: ${settlement.state}`,
        async (t, queue) => {
          const [first, second, third] = (await queue.record(3)) as [number, number, number]
          await queue.attempt(DEAD)
          const younger = await queue.claimOne()
          t.equal(younger.deliveryId, second)
          await queue.retry(first)
          t.same(await queue.claim(), [])
          t.equal(await queue.settle(younger, settlement), 'settled')
          t.equal((await queue.attempt(DELIVERED)).deliveryId, first)
          const next = await queue.claimOne(NOW + 1)
          t.equal(next.deliveryId, settlement.state === 'pending' ? second : third)
        },
      )
    }

    contract('an older event that is replayed to a target goes before what waits there', async (t, queue) => {
      const { outbox, target } = queue
      await queue.configure('release')
      await outbox.record(newEvent({ event: 'call.started', callId: `call-of-${target}` }), [])
      await queue.record(1)
      await queue.attempt(postponed(NOW + 9_000))
      t.equal(await queue.replay('call.started'), 1)
      t.match(await queue.claimOne(), { event: { event: 'call.started' } })
    })

    contract('an older event that comes through a second source goes before what waits', async (t, queue) => {
      const { outbox, target } = queue
      const started = newEvent({
        event: 'call.started',
        callId: `call-of-${target}`,
        source: 'webhook',
        account: 'sales',
      })
      await outbox.record(started, [])
      await queue.record(1)
      await outbox.record({ ...started, eventId: 'evt_again', source: 'callbacks' }, [{ target, ordered: true }])
      t.match(await queue.claimOne(), { event: { event: 'call.started' } })
    })

    for (const order of ['none', 'release'] as const) {
      contract(`what waits behind a dead delivery is let go by a change of the setting: ${order}`, async (t, queue) => {
        const { outbox, target } = queue
        await queue.configure('hold')
        const [, second, third] = (await queue.record(3)) as [number, number, number]
        await queue.attempt(HELD)
        t.same(await queue.claim(), [])
        await queue.configure(order)
        t.same(idsOf(await queue.claim()), order === 'none' ? [second, third] : [second])
        const event = newEvent({ event: 'call.new', callId: `call-of-${target}` })
        const recorded = await outbox.record(event, [{ target, ordered: true, lease: true }])
        t.equal(recorded.leased.length, order === 'none' ? 1 : 0, 'a new event follows the setting too')
      })
    }

    contract('a lane of the configuration before does not make a new hold', async (t, queue) => {
      await queue.configure('hold')
      const [, second] = (await queue.record(2)) as [number, number]
      const leased = await queue.claimOne()
      await queue.configure('release')
      t.equal(await queue.settle(leased, HELD), 'settled')
      t.same(idsOf(await queue.claim()), [second])
    })

    contract('what is dead does not begin to hold its call', async (t, queue) => {
      await queue.configure('release')
      const [, second] = (await queue.record(2)) as [number, number]
      await queue.attempt(DEAD)
      await queue.configure('hold')
      t.equal((await queue.claimOne()).deliveryId, second)
    })

    contract(
      'a target that becomes ordered sends one delivery of a call at a time, the oldest first',
      async (t, queue) => {
        await queue.configure('none')
        const [first, second, third] = (await queue.record(4, false)) as [number, number, number, number]
        const early = (await queue.claim(2)) as [Delivery, Delivery]
        t.same(idsOf(early), [first, second])
        await queue.configure('release')
        t.same(await queue.claim(), [], 'while attempts from before are under way')
        await queue.settle(early[1], DELIVERED)
        t.same(await queue.claim(), [])
        await queue.settle(early[0], postponed(NOW))
        t.equal((await queue.attempt(DELIVERED)).deliveryId, first)
        t.same(idsOf(await queue.claim()), [third])
        t.equal(await queue.cancel(third), 1)
        t.same(await queue.claim(), [], 'the last waits for the attempt at the third')
      },
    )

    for (const way of ['retry', 'replay'] as const) {
      contract(`what ended before its target was ordered is ordered now: ${way}`, async (t, queue) => {
        const redeliver = (ids: number[]) => (way === 'retry' ? queue.retry(...ids) : queue.replay('call.*'))
        await queue.configure('none')
        const ids = await queue.record(3, false)
        for (const delivery of await queue.claim()) await queue.settle(delivery, DELIVERED)
        await queue.configure('release')
        t.equal(await redeliver(ids), 3)
        for (const id of ids) t.equal((await queue.attempt(DELIVERED)).deliveryId, id)
        await queue.configure('none')
        t.equal(await redeliver(ids), 3)
        t.equal((await queue.claim()).length, 3, 'and back')
      })
    }

    contract('a target that has left the configuration keeps its order', async (t, queue) => {
      await queue.configure('hold')
      const [first, second] = (await queue.record(2)) as [number, number]
      await queue.attempt(HELD)
      await queue.configure('none', 'another')
      t.same(await queue.claim(), [])
      await queue.retry(first)
      await queue.attempt(DELIVERED)
      t.same(idsOf(await queue.claim()), [second])
    })

    contract('a step that is rolled back with another call is made again', async (t, queue) => {
      const { outbox, target } = queue
      await queue.configure('none')
      await recordMany(outbox, [target])
      const [leased] = (await queue.claim(1)) as [Delivery]
      const settings = [{ target, order: 'release', paused: false, maxDelayMs: 60_000 } as const]
      t.same(await outbox.applyTargets(settings, NOW), [target])
      const [step, settled] = await Promise.allSettled([
        outbox.applyTargets(settings, NOW),
        queue.settle(leased, DELIVERED, { error: 'not of one that is delivered' }),
      ])
      t.match([step, settled], [{ value: [target] }, { status: 'rejected' }])
      await queue.configure('release')
      await outbox.release(leased)
      t.equal((await queue.claim()).length, CALLS)
    })

    contract('a target with many deliveries does not keep others waiting for their order', async (t, queue) => {
      const { outbox } = queue
      const [large, small] = [`large ${queue.target}`, `small ${queue.target}`]
      const as = (order: CallOrderSetting, ...targets: string[]) =>
        targets.map((target) => ({ target, order, paused: false, maxDelayMs: 60_000 }))
      const names = [large, small]
      for (const target of [...names, queue.target]) await queue.configure('none', target)
      await outbox.record(newEvent({ callId: small }), [{ target: small, ordered: false }])
      await recordMany(outbox, [large])
      t.same(await outbox.applyTargets([...as('release', large), ...as('none', small, queue.target)], NOW), [large])
      for (const order of ['release', 'none', 'hold'] as const) {
        let unfinished = await outbox.applyTargets(as(order, ...names), NOW)
        while (unfinished.includes(small)) unfinished = await outbox.applyTargets(as(order, ...names), NOW)
        t.same(unfinished, [large], order)
        while (unfinished.length > 0) unfinished = await outbox.applyTargets(as(order, ...names), NOW)
      }
      t.equal((await outbox.claim(large, 9_999, NOW)).deliveries.length, CALLS)
    })

    contract('the order of many deliveries is changed in steps, and once', async (t, queue) => {
      await queue.configure('none')
      await recordMany(queue.outbox, [queue.target, 'left-alone'])
      t.ok((await queue.configure('hold')) > 3)
      t.equal((await queue.claim()).length, CALLS)
      t.equal((await queue.outbox.claim('left-alone', 9_999, NOW)).deliveries.length, 3 * CALLS)
      t.equal(await queue.configure('hold'), 1)
      t.equal(await queue.configure('release'), 1, 'the order is there already')
      t.ok((await queue.configure('none')) > 3)
      t.equal((await queue.claim()).length, 2 * CALLS)
    })
  })

  t.test(`${name}: a change of order that a crash has cut off is completed after it`, async (t) => {
    const directory = t.testdir()
    const both = await open(directory)
    const queue = new Queue(both, 'crm')
    await queue.configure('none')
    await recordMany(both.outbox, ['crm'])
    const settings = [{ target: 'crm', order: 'release', paused: false, maxDelayMs: 60_000 } as const]
    t.same(await both.outbox.applyTargets(settings, NOW), ['crm'])
    await close(both)
    const again = await open(directory)
    t.teardown(() => close(again))
    const after = new Queue(again, 'crm')
    t.ok((await after.configure('release')) > 1)
    t.equal((await after.claim()).length, CALLS)
  })
}

const CALLS = 300

/** Records three events of each of many calls. */
async function recordMany(outbox: Outbox, targets: readonly string[]): Promise<void> {
  const deliveries = targets.map((target) => ({ target, ordered: false }))
  const events = Array.from({ length: 3 * CALLS }, (_, n) =>
    newEvent({ event: `many.${n}`, callId: `${targets[0]} ${n % CALLS}` }),
  )
  await Promise.all(events.map((event) => outbox.record(event, deliveries)))
}
