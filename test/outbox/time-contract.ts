import t, { type Test } from 'tap'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { OutboxOperator } from '../../src/outbox/operator.ts'
import type { Outbox, TargetSettings } from '../../src/outbox/outbox.ts'
import { scratch } from '../scratch.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const OTHER: TargetSettings = { target: 'other', order: 'none', paused: false, maxDelayMs: HOUR_MS }

/** The first attempt begins at FIRST; nothing can be tried from STOP on, for a week. */
const FIRST = 2_000
const STOP = 10_000
const WEEK_MS = 7 * 24 * 3_600_000
const GO = STOP + WEEK_MS

async function apply(outbox: Outbox, targets: readonly TargetSettings[], now: number): Promise<void> {
  while ((await outbox.applyTargets(targets, now)).length > 0);
}

/** How time passes for a delivery, and what every implementation of the outbox makes of it. */
export function timeContract(name: string, open: OpenBothSides): void {
  let opened: Promise<BothSides> | undefined
  let directory: string | undefined
  let targets = 0
  const close = async () => {
    const both = await opened
    await both?.operator.close()
    await both?.outbox.close()
  }

  /** One outbox for all tests, and a target of its own for each. */
  async function storeFor(target: string) {
    directory ??= scratch(t)
    opened ??= open(directory)
    let both = await opened
    return {
      target,
      crm: { target, order: 'none', paused: false, maxDelayMs: HOUR_MS } as TargetSettings,
      get outbox(): Outbox {
        return both.outbox
      },
      get operator(): OutboxOperator {
        return both.operator
      },
      /** As after a crash, unless `suspendTargets` was called before. */
      reopen: async () => {
        await close()
        opened = open(directory!)
        both = await opened
      },
    }
  }
  type Store = Awaited<ReturnType<typeof storeFor>>
  t.teardown(close)

  const contract = (title: string, run: (test: Test, store: Store) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => {
      targets += 1
      await run(test, await storeFor(`crm ${targets}`))
    })

  async function claimOne({ outbox, target }: Store, now: number): Promise<Delivery> {
    const [delivery] = (await outbox.claim(target, 1, now)).deliveries
    if (delivery === undefined) throw new Error('nothing to claim')
    return delivery
  }

  /** Records an event whose first attempt fails, and which is due again at once. */
  async function failOnce(store: Store): Promise<void> {
    const { outbox, target } = store
    await outbox.record(newEvent(), to(target))
    const delivery = await claimOne(store, FIRST)
    await outbox.settle(delivery, attemptAt(delivery, 'failed', FIRST), { state: 'pending', dueAt: FIRST + 10 })
  }

  const lasting = ({ crm }: Store, paused = false) => [{ ...crm, paused }, OTHER]
  const stops: Readonly<Record<string, (store: Store) => Promise<void>>> = {
    async 'it was paused by command'(store) {
      const { outbox, operator, target } = store
      await operator.setPaused(target, true, STOP)
      await apply(outbox, lasting(store), STOP)
      await operator.setPaused(target, false, GO)
      await apply(outbox, lasting(store), GO)
    },
    async 'it was paused by the configuration'(store) {
      await apply(store.outbox, lasting(store, true), STOP)
      await apply(store.outbox, lasting(store), GO)
    },
    async 'the configuration lacked it'(store) {
      await apply(store.outbox, [OTHER], STOP)
      await apply(store.outbox, lasting(store), GO)
    },
    async 'the relay was stopped'(store) {
      await store.outbox.suspendTargets(STOP)
      await store.reopen()
      await apply(store.outbox, lasting(store), GO)
    },
    async 'the relay had crashed after another attempt'(store) {
      await store.outbox.record(newEvent(), to('other'))
      const [last] = (await store.outbox.claim('other', 1, STOP)).deliveries
      await store.outbox.settle(
        last!,
        { ...attemptAt(last!, 'delivered', STOP - 5), durationMs: 5 },
        { state: 'delivered' },
      )
      await store.reopen()
      await apply(store.outbox, lasting(store), GO)
    },
    async 'it was paused when the relay was stopped, and resumed while no relay ran'(store) {
      await store.operator.setPaused(store.target, true, STOP)
      await apply(store.outbox, lasting(store), STOP)
      await store.outbox.suspendTargets(STOP + 1_000)
      await store.reopen()
      await store.operator.setPaused(store.target, false, GO - 1_000)
      await apply(store.outbox, lasting(store), GO)
    },
    async 'the relay was restarted again and again'(store) {
      for (let at = STOP; at < GO; at += WEEK_MS / 2) {
        await apply(store.outbox, lasting(store), at)
        await store.outbox.suspendTargets(at)
        await store.reopen()
      }
      await apply(store.outbox, lasting(store), GO)
    },
    async 'the machine was suspended'({ outbox }) {
      await outbox.skipTime(WEEK_MS)
    },
  }
  for (const [why, stop] of Object.entries(stops)) {
    contract(`the time for a delivery stands still while ${why}`, async (t, store) => {
      await apply(store.outbox, lasting(store), 1_000)
      await failOnce(store)
      await stop(store)
      const again = await claimOne(store, GO + 1)
      t.equal(again.firstAttemptAt, FIRST + WEEK_MS)
      // From the next failure on it goes on counting.
      await store.outbox.settle(again, attemptAt(again, 'failed', GO + 1), { state: 'pending', dueAt: GO + 20 })
      t.equal((await claimOne(store, GO + 5_000)).firstAttemptAt, FIRST + WEEK_MS)
    })
  }

  contract('a target that fails, or whose circuit is open, uses up the time for its deliveries', async (t, store) => {
    await apply(store.outbox, [store.crm], 1_000)
    await failOnce(store)
    await store.outbox.saveBreaker(store.target, { probeAt: GO, cooldownMs: WEEK_MS }, STOP)
    await apply(store.outbox, [store.crm], STOP)
    t.equal((await claimOne(store, GO)).firstAttemptAt, FIRST)
  })

  contract('a delivery is claimed whether anything is known of its target or not', async (t, store) => {
    await failOnce(store)
    t.equal((await claimOne(store, GO)).firstAttemptAt, FIRST)
  })

  contract('a target that was never configured since it got its deliveries is stopped as well', async (t, store) => {
    await failOnce(store)
    await apply(store.outbox, [OTHER], STOP)
    await apply(store.outbox, lasting(store), GO)
    t.equal((await claimOne(store, GO)).firstAttemptAt, FIRST + WEEK_MS)
  })

  contract('a pause during an attempt does not count, and neither does one at its end', async (t, store) => {
    const { outbox } = store
    await apply(outbox, lasting(store), 1_000)
    await outbox.record(newEvent(), to(store.target))
    const delivery = await claimOne(store, FIRST)
    await apply(outbox, lasting(store, true), FIRST + 100)
    // It ends 300 ms later, and the lane knows for how long it was paused by then.
    const attempt = { ...attemptAt(delivery, 'failed', FIRST), durationMs: 400 }
    await outbox.settle(delivery, attempt, { state: 'pending', dueAt: 5_000, firstAttemptAt: FIRST + 300 })
    await apply(outbox, lasting(store), GO)
    t.equal((await claimOne(store, GO)).firstAttemptAt, GO - 100, 'a tenth of a second of it is used')
  })

  contract('a clock that was set takes no time from a delivery, and gives it no more than it had', async (t, store) => {
    const { outbox } = store
    await apply(outbox, lasting(store), 1_000)
    await failOnce(store)
    await apply(outbox, lasting(store, true), GO)
    // The clock was a week ahead.
    await apply(outbox, lasting(store), STOP)
    t.equal((await claimOne(store, STOP)).firstAttemptAt, FIRST, 'no time is taken')

    await store.reopen()
    const { outbox: later } = store
    await apply(later, lasting(store, true), STOP)
    await apply(later, lasting(store), GO)
    // And it is set back after a stop that seemed to last for a week.
    const again = await claimOne(store, STOP + 1_000)
    t.equal(again.firstAttemptAt, STOP + 1_000, 'the time begins again, and no later')
    await later.settle(again, attemptAt(again, 'failed', STOP + 1_000), { state: 'pending', dueAt: STOP + 2_000 })
    t.equal((await claimOne(store, GO)).firstAttemptAt, STOP + 1_000, 'and counts')
  })

  contract('a pause that begins by a clock that is ahead counts from when that is right again', async (t, store) => {
    await apply(store.outbox, lasting(store), 1_000)
    await failOnce(store)
    await apply(store.outbox, lasting(store, true), STOP + 2 * WEEK_MS)
    await apply(store.outbox, lasting(store, true), STOP)
    await apply(store.outbox, lasting(store), GO)
    t.equal((await claimOne(store, GO)).firstAttemptAt, FIRST + WEEK_MS)
  })

  contract('a retry begins the time of a delivery again', async (t, store) => {
    await apply(store.outbox, lasting(store), 1_000)
    await failOnce(store)
    await stops['it was paused by command']!(store)
    await store.operator.retryDeliveries({ target: store.target }, GO)
    const retried = await claimOne(store, GO)
    t.equal(retried.firstAttemptAt, null)
    await store.outbox.settle(retried, attemptAt(retried, 'failed', GO), { state: 'pending', dueAt: GO + 10 })
    t.equal((await claimOne(store, GO + 10_000)).firstAttemptAt, GO)
  })

  const PUT_OFF = 600

  /** Has as many deliveries put off for an hour, all to the same instant, as the target had asked for. */
  async function putOff({ outbox, target, crm }: Store): Promise<void> {
    await apply(outbox, [crm], 1_000)
    await Promise.all(Array.from({ length: PUT_OFF }, () => outbox.record(newEvent(), to(target))))
    const { deliveries } = await outbox.claim(target, PUT_OFF, FIRST)
    const settlement = { state: 'pending', dueAt: FIRST + HOUR_MS } as const
    await Promise.all(deliveries.map((one) => outbox.settle(one, attemptAt(one, 'failed', FIRST), settlement)))
  }

  async function dueTimes({ operator, target }: Store): Promise<number[]> {
    return (await operator.listDeliveries({ target }, 2 * PUT_OFF)).map(({ dueAt }) => dueAt!)
  }

  contract(
    'a lower limit of delays spreads what is put off for longer, and sends nothing at once',
    async (t, store) => {
      const { outbox } = store
      await putOff(store)
      const lower = { ...store.crm, maxDelayMs: MINUTE_MS }
      const ofNewLane = { latest: STOP + 2 * MINUTE_MS }
      let steps = 0
      while ((await outbox.applyTargets([lower], STOP)).length > 0) {
        steps += 1
        const claim = await outbox.claim(store.target, PUT_OFF, STOP, ofNewLane)
        t.same(claim.deliveries, [], 'until all are brought forward, the old limit holds')
      }
      t.ok(steps > 1, 'in short steps')
      t.same((await outbox.claim(store.target, PUT_OFF, STOP, ofNewLane)).deliveries, [], 'nor is anything sent then')
      const times = await dueTimes(store)
      t.equal(times.length, PUT_OFF)
      const perTenth = Array<number>(10).fill(0)
      for (const dueAt of times) perTenth[Math.ceil((dueAt - STOP) / (MINUTE_MS / 10)) - 1]! += 1
      t.equal(perTenth[0], 0, 'the target is left alone for a while')
      t.ok(Math.max(...perTenth) < 1.2 * (PUT_OFF / 9), `spread over the new delay: ${perTenth}`)
      t.ok(times.length > new Set(times).size / 2, 'and not all in one instant')
      const { deliveries } = await outbox.claim(store.target, 2 * PUT_OFF, STOP + MINUTE_MS)
      t.equal(deliveries.length, PUT_OFF, 'all are due within the new delay')
    },
  )

  contract('a target whose delays are lowered does not keep others waiting', async (t, store) => {
    const { outbox } = store
    await putOff(store)
    const others = ['a', 'z'].map((target) => ({ ...OTHER, target: `${target} of ${store.target}` }))
    await apply(outbox, [store.crm, ...others], STOP)
    const lower = [others[0]!, store.crm, others[1]!].map((one) => ({ ...one, maxDelayMs: MINUTE_MS }))
    let unfinished = await outbox.applyTargets(lower, STOP)
    while (unfinished.length > 1) unfinished = await outbox.applyTargets(lower, STOP)
    t.same(unfinished, [store.target])
  })

  contract('a lower limit reaches deliveries that wait for their call', async (t, store) => {
    const { outbox, operator } = store
    const ordered = { ...store.crm, order: 'release' } as const
    await apply(outbox, [ordered], 1_000)
    // So many that they are looked through in more than one step.
    await Promise.all(Array.from({ length: 2_100 }, () => outbox.record(newEvent(), to('other'))))
    for (const [n, event] of ['call.started', 'call.joined'].entries()) {
      const settlement =
        n === 0 ? ({ state: 'dead' } as const) : ({ state: 'pending', dueAt: FIRST + HOUR_MS } as const)
      await outbox.record(newEvent({ callId: 'waiting', event }), [{ target: store.target, ordered: true }])
      const delivery = await claimOne(store, FIRST)
      await outbox.settle(delivery, attemptAt(delivery, n === 0 ? 'refused' : 'failed', FIRST), settlement)
    }
    // The younger one makes way for the older one.
    await operator.retryDeliveries({ target: store.target, states: ['dead'] }, STOP)
    await apply(outbox, [{ ...ordered, maxDelayMs: MINUTE_MS }], STOP)
    for (const dueAt of await dueTimes(store)) t.ok(dueAt <= STOP + MINUTE_MS, `due at ${dueAt}`)
  })

  contract('a lane that a reload has replaced puts nothing off beyond the new limit', async (t, store) => {
    const { outbox } = store
    await apply(outbox, [store.crm], 1_000)
    await outbox.record(newEvent(), to(store.target))
    const delivery = await claimOne(store, FIRST)
    await apply(outbox, [{ ...store.crm, maxDelayMs: MINUTE_MS }], FIRST)
    await outbox.settle(delivery, attemptAt(delivery, 'failed', STOP - 5), { state: 'pending', dueAt: STOP + HOUR_MS })
    t.same(await dueTimes(store), [STOP + MINUTE_MS])
  })

  contract('a higher limit of delays, or the same one, changes no delivery', async (t, store) => {
    const { outbox } = store
    await putOff(store)
    for (const maxDelayMs of [HOUR_MS, 2 * HOUR_MS])
      t.same(await outbox.applyTargets([{ ...store.crm, maxDelayMs }], STOP), [])
    t.same([...new Set(await dueTimes(store))], [FIRST + HOUR_MS])
  })

  contract(
    'what a clock that was ahead has put off is due at once, also while a limit is lowered',
    async (t, store) => {
      const { outbox } = store
      await putOff(store)
      // A day and an hour after the clock is set back.
      const now = FIRST - 24 * HOUR_MS
      await apply(outbox, [{ ...store.crm, maxDelayMs: MINUTE_MS }], now)
      const { deliveries } = await outbox.claim(store.target, PUT_OFF, now, { latest: now + 2 * MINUTE_MS })
      t.equal(deliveries.length, PUT_OFF)
    },
  )
}
