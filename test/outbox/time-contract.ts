import t, { type Test } from 'tap'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { OutboxOperator } from '../../src/outbox/operator.ts'
import type { Outbox, TargetSettings } from '../../src/outbox/outbox.ts'
import { scratch } from '../scratch.ts'
import type { OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const crm: TargetSettings = { target: 'crm', order: 'none', paused: false, maxDelayMs: 3_600_000 }
const OTHER: TargetSettings = { ...crm, target: 'other' }

/** The first attempt begins at FIRST; nothing can be tried from STOP on, for a week. */
const FIRST = 2_000
const STOP = 10_000
const WEEK_MS = 7 * 24 * 3_600_000
const GO = STOP + WEEK_MS

async function apply(outbox: Outbox, targets: readonly TargetSettings[], now: number): Promise<void> {
  while (!(await outbox.applyTargets(targets, now)));
}

/** How time passes for a delivery, and what every implementation of the outbox makes of it. */
export function timeContract(name: string, open: OpenBothSides): void {
  /** A store that can be closed and opened again. */
  async function opened(test: Test) {
    const directory = scratch(test)
    let both = await open(directory)
    const close = async () => {
      await both.operator.close()
      await both.outbox.close()
    }
    test.teardown(close)
    return {
      get outbox(): Outbox {
        return both.outbox
      },
      get operator(): OutboxOperator {
        return both.operator
      },
      /** As after a crash, unless `suspendTargets` was called before. */
      reopen: async () => {
        await close()
        both = await open(directory)
      },
    }
  }
  type Store = Awaited<ReturnType<typeof opened>>

  async function claimOne(outbox: Outbox, now: number): Promise<Delivery> {
    const [delivery] = (await outbox.claim('crm', 1, now)).deliveries
    if (delivery === undefined) throw new Error('nothing to claim')
    return delivery
  }

  /** Records an event whose first attempt fails, and which is due again at once. */
  async function failOnce({ outbox }: Store): Promise<void> {
    await outbox.record(newEvent(), to('crm'))
    const delivery = await claimOne(outbox, FIRST)
    await outbox.settle(delivery, attemptAt(delivery, 'failed', FIRST), { state: 'pending', dueAt: FIRST + 10 })
  }

  const lasting = (paused: boolean) => [{ ...crm, paused }, OTHER]
  const stops: Readonly<Record<string, (store: Store) => Promise<void>>> = {
    async 'it was paused by command'({ outbox, operator }) {
      await operator.setPaused('crm', true, STOP)
      await apply(outbox, lasting(false), STOP)
      await operator.setPaused('crm', false, GO)
      await apply(outbox, lasting(false), GO)
    },
    async 'it was paused by the configuration'({ outbox }) {
      await apply(outbox, lasting(true), STOP)
      await apply(outbox, lasting(false), GO)
    },
    async 'the configuration lacked it'({ outbox }) {
      await apply(outbox, [OTHER], STOP)
      await apply(outbox, lasting(false), GO)
    },
    async 'the relay was stopped'(store) {
      await store.outbox.suspendTargets(STOP)
      await store.reopen()
      await apply(store.outbox, lasting(false), GO)
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
      await apply(store.outbox, lasting(false), GO)
    },
    async 'it was paused when the relay was stopped, and resumed while no relay ran'(store) {
      await store.operator.setPaused('crm', true, STOP)
      await apply(store.outbox, lasting(false), STOP)
      await store.outbox.suspendTargets(STOP + 1_000)
      await store.reopen()
      await store.operator.setPaused('crm', false, GO - 1_000)
      await apply(store.outbox, lasting(false), GO)
    },
    async 'the relay was restarted again and again'(store) {
      for (let at = STOP; at < GO; at += WEEK_MS / 2) {
        await apply(store.outbox, lasting(false), at)
        await store.outbox.suspendTargets(at)
        await store.reopen()
      }
      await apply(store.outbox, lasting(false), GO)
    },
    async 'the machine was suspended'({ outbox }) {
      await outbox.skipTime(WEEK_MS)
    },
  }
  for (const [why, stop] of Object.entries(stops)) {
    t.test(`${name}: the time for a delivery stands still while ${why}`, async (t) => {
      const store = await opened(t)
      await apply(store.outbox, lasting(false), 1_000)
      await failOnce(store)
      await stop(store)
      const again = await claimOne(store.outbox, GO + 1)
      t.equal(again.firstAttemptAt, FIRST + WEEK_MS)
      // From the next failure on it goes on counting.
      await store.outbox.settle(again, attemptAt(again, 'failed', GO + 1), { state: 'pending', dueAt: GO + 20 })
      t.equal((await claimOne(store.outbox, GO + 5_000)).firstAttemptAt, FIRST + WEEK_MS)
    })
  }

  t.test(`${name}: a target that fails, or whose circuit is open, uses up the time for its deliveries`, async (t) => {
    const store = await opened(t)
    await apply(store.outbox, [crm], 1_000)
    await failOnce(store)
    await store.outbox.saveBreaker('crm', { probeAt: GO, cooldownMs: WEEK_MS }, STOP)
    await apply(store.outbox, [crm], STOP)
    t.equal((await claimOne(store.outbox, GO)).firstAttemptAt, FIRST)
  })

  t.test(`${name}: a delivery is claimed whether anything is known of its target or not`, async (t) => {
    const store = await opened(t)
    await failOnce(store)
    t.equal((await claimOne(store.outbox, GO)).firstAttemptAt, FIRST)
  })

  t.test(`${name}: a target that was never configured since it got its deliveries is stopped as well`, async (t) => {
    const store = await opened(t)
    await failOnce(store)
    await apply(store.outbox, [OTHER], STOP)
    await apply(store.outbox, lasting(false), GO)
    t.equal((await claimOne(store.outbox, GO)).firstAttemptAt, FIRST + WEEK_MS)
  })

  t.test(`${name}: a pause during an attempt does not count, and neither does one at its end`, async (t) => {
    const store = await opened(t)
    const { outbox } = store
    await apply(outbox, lasting(false), 1_000)
    await outbox.record(newEvent(), to('crm'))
    const delivery = await claimOne(outbox, FIRST)
    await apply(outbox, lasting(true), FIRST + 100)
    // It ends 300 ms later, and the lane knows for how long it was paused by then.
    const attempt = { ...attemptAt(delivery, 'failed', FIRST), durationMs: 400 }
    await outbox.settle(delivery, attempt, { state: 'pending', dueAt: 5_000, firstAttemptAt: FIRST + 300 })
    await apply(outbox, lasting(false), GO)
    t.equal((await claimOne(outbox, GO)).firstAttemptAt, GO - 100, 'a tenth of a second of it is used')
  })

  t.test(`${name}: a clock that was set takes no time from a delivery, and gives it no more than it had`, async (t) => {
    const store = await opened(t)
    const { outbox } = store
    await apply(outbox, lasting(false), 1_000)
    await failOnce(store)
    await apply(outbox, lasting(true), GO)
    // The clock was a week ahead.
    await apply(outbox, lasting(false), STOP)
    t.equal((await claimOne(outbox, STOP)).firstAttemptAt, FIRST, 'no time is taken')

    const { outbox: later } = (await store.reopen(), store)
    await apply(later, lasting(true), STOP)
    await apply(later, lasting(false), GO)
    // And it is set back after a stop that seemed to last for a week.
    const again = await claimOne(later, STOP + 1_000)
    t.equal(again.firstAttemptAt, STOP + 1_000, 'the time begins again, and no later')
    await later.settle(again, attemptAt(again, 'failed', STOP + 1_000), { state: 'pending', dueAt: STOP + 2_000 })
    t.equal((await claimOne(later, GO)).firstAttemptAt, STOP + 1_000, 'and counts')
  })

  t.test(`${name}: a pause that begins by a clock that is ahead counts from when that is right again`, async (t) => {
    const store = await opened(t)
    await apply(store.outbox, lasting(false), 1_000)
    await failOnce(store)
    await apply(store.outbox, lasting(true), STOP + 2 * WEEK_MS)
    await apply(store.outbox, lasting(true), STOP)
    await apply(store.outbox, lasting(false), GO)
    t.equal((await claimOne(store.outbox, GO)).firstAttemptAt, FIRST + WEEK_MS)
  })

  t.test(`${name}: a retry begins the time of a delivery again`, async (t) => {
    const store = await opened(t)
    await apply(store.outbox, lasting(false), 1_000)
    await failOnce(store)
    await stops['it was paused by command']!(store)
    await store.operator.retryDeliveries({}, GO)
    const retried = await claimOne(store.outbox, GO)
    t.equal(retried.firstAttemptAt, null)
    await store.outbox.settle(retried, attemptAt(retried, 'failed', GO), { state: 'pending', dueAt: GO + 10 })
    t.equal((await claimOne(store.outbox, GO + 10_000)).firstAttemptAt, GO)
  })

  const HOUR_MS = 3_600_000
  const MINUTE_MS = 60_000
  const PUT_OFF = 600

  /** Has as many deliveries put off for an hour, all to the same instant, as the target had asked for. */
  async function putOff({ outbox }: Store, maxDelayMs = HOUR_MS): Promise<void> {
    await apply(outbox, [{ ...crm, maxDelayMs }], 1_000)
    await Promise.all(Array.from({ length: PUT_OFF }, () => outbox.record(newEvent(), to('crm'))))
    const { deliveries } = await outbox.claim('crm', PUT_OFF, FIRST)
    const settlement = { state: 'pending', dueAt: FIRST + HOUR_MS } as const
    await Promise.all(deliveries.map((one) => outbox.settle(one, attemptAt(one, 'failed', FIRST), settlement)))
  }

  async function dueTimes({ operator }: Store): Promise<number[]> {
    return (await operator.listDeliveries({ target: 'crm' }, 2 * PUT_OFF)).map(({ dueAt }) => dueAt!)
  }

  t.test(
    `${name}: a lower limit of delays spreads what is put off for longer, and sends nothing at once`,
    async (t) => {
      const store = await opened(t)
      const { outbox } = store
      await putOff(store)
      const lower = { ...crm, maxDelayMs: MINUTE_MS }
      const ofNewLane = { latest: STOP + 2 * MINUTE_MS }
      let steps = 0
      while (!(await outbox.applyTargets([lower], STOP))) {
        steps += 1
        const claim = await outbox.claim('crm', PUT_OFF, STOP, ofNewLane)
        t.same(claim.deliveries, [], 'until all are brought forward, the old limit holds')
      }
      t.ok(steps > 1, 'in short steps')
      t.same((await outbox.claim('crm', PUT_OFF, STOP, ofNewLane)).deliveries, [], 'nor is anything sent then')
      const times = await dueTimes(store)
      t.equal(times.length, PUT_OFF)
      const perTenth = Array<number>(10).fill(0)
      for (const dueAt of times) perTenth[Math.ceil((dueAt - STOP) / (MINUTE_MS / 10)) - 1]! += 1
      t.equal(perTenth[0], 0, 'the target is left alone for a while')
      t.ok(Math.max(...perTenth) < 1.2 * (PUT_OFF / 9), `spread over the new delay: ${perTenth}`)
      t.ok(times.length > new Set(times).size / 2, 'and not all in one instant')
      const { deliveries } = await outbox.claim('crm', 2 * PUT_OFF, STOP + MINUTE_MS)
      t.equal(deliveries.length, PUT_OFF, 'all are due within the new delay')
    },
  )

  t.test(`${name}: a lower limit reaches deliveries that wait for their call`, async (t) => {
    const store = await opened(t)
    const { outbox, operator } = store
    const ordered = { ...crm, order: 'release' } as const
    await apply(outbox, [ordered], 1_000)
    // So many that they are looked through in more than one step.
    await Promise.all(Array.from({ length: 2_100 }, () => outbox.record(newEvent(), to('other'))))
    for (const [n, event] of ['call.started', 'call.joined'].entries()) {
      const settlement =
        n === 0 ? ({ state: 'dead' } as const) : ({ state: 'pending', dueAt: FIRST + HOUR_MS } as const)
      await outbox.record(newEvent({ callId: 'c', event }), [{ target: 'crm', ordered: true }])
      const delivery = await claimOne(outbox, FIRST)
      await outbox.settle(delivery, attemptAt(delivery, n === 0 ? 'refused' : 'failed', FIRST), settlement)
    }
    // The younger one makes way for the older one.
    await operator.retryDeliveries({ states: ['dead'] }, STOP)
    await apply(outbox, [{ ...ordered, maxDelayMs: MINUTE_MS }], STOP)
    for (const dueAt of await dueTimes(store)) t.ok(dueAt <= STOP + MINUTE_MS, `due at ${dueAt}`)
  })

  t.test(`${name}: a lane that a reload has replaced puts nothing off beyond the new limit`, async (t) => {
    const store = await opened(t)
    const { outbox } = store
    await apply(outbox, [crm], 1_000)
    await outbox.record(newEvent(), to('crm'))
    const delivery = await claimOne(outbox, FIRST)
    await apply(outbox, [{ ...crm, maxDelayMs: MINUTE_MS }], FIRST)
    await outbox.settle(delivery, attemptAt(delivery, 'failed', STOP - 5), { state: 'pending', dueAt: STOP + HOUR_MS })
    t.same(await dueTimes(store), [STOP + MINUTE_MS])
  })

  t.test(`${name}: a higher limit of delays, or the same one, changes no delivery`, async (t) => {
    const store = await opened(t)
    const { outbox } = store
    await putOff(store)
    for (const maxDelayMs of [HOUR_MS, 2 * HOUR_MS]) t.ok(await outbox.applyTargets([{ ...crm, maxDelayMs }], STOP))
    t.same([...new Set(await dueTimes(store))], [FIRST + HOUR_MS])
  })

  t.test(
    `${name}: what a clock that was ahead has put off is due at once, also while a limit is lowered`,
    async (t) => {
      const store = await opened(t)
      const { outbox } = store
      await putOff(store)
      // A day and an hour after the clock is set back.
      const now = FIRST - 24 * HOUR_MS
      t.ok(await outbox.applyTargets([{ ...crm, maxDelayMs: MINUTE_MS }], now))
      const { deliveries } = await outbox.claim('crm', PUT_OFF, now, { latest: now + 2 * MINUTE_MS })
      t.equal(deliveries.length, PUT_OFF)
    },
  )
}
