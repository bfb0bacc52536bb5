import t, { type Test } from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import { scratch } from '../scratch.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const LATER = 50_000

interface Store extends BothSides {
  readonly target: string
}

/** Which deliveries go before which; every implementation of the outbox has to hold to it. */
export function backgroundContract(name: string, open: OpenBothSides): void {
  let opened: Promise<BothSides> | undefined
  let targets = 0
  t.teardown(async () => {
    const both = await opened
    await both?.operator.close()
    await both?.outbox.close()
  })

  /** One outbox for all tests, and a target of its own for each. */
  const contract = (title: string, run: (test: Test, store: Store) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => {
      opened ??= open(scratch(t))
      targets += 1
      await run(test, { ...(await opened), target: `crm ${targets}` })
    })

  /** The events of what one claim after the other takes, one at a time. */
  async function claimedOneByOne({ outbox, target }: Store, count = 100): Promise<string[]> {
    const names: string[] = []
    while (names.length < count) {
      const [delivery] = (await outbox.claim(target, 1, LATER)).deliveries
      if (delivery === undefined) break
      names.push(delivery.event.event)
    }
    return names
  }

  async function recordAll(
    { outbox, target }: Store,
    names: readonly string[],
    given: Partial<NewEvent> = {},
    ordered = false,
  ) {
    for (const event of names) {
      await outbox.record(newEvent({ event, ...given }), [{ target, ordered }])
    }
  }

  /** Records events and ends their deliveries. */
  async function finishAll(store: Store, names: readonly string[], given: Partial<NewEvent> = {}, ordered = false) {
    for (const event of names) {
      await recordAll(store, [event], given, ordered)
      const [delivery] = (await store.outbox.claim(store.target, 1, 2_000)).deliveries
      await store.outbox.settle(delivery!, attemptAt(delivery!, 'delivered'), { state: 'delivered' })
    }
  }

  const numbered = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n + 1}`)

  contract('new events go before what an operator or reconciliation has added', async (t, store) => {
    const { outbox, operator, target } = store
    await finishAll(store, ['retried', 'replayed'])
    await recordAll(store, ['fetched'], { origin: 'reconcile' })
    await operator.retryDeliveries({ event: 'retried' }, 3_000)
    const [replayed] = await operator.readEvents({ event: 'replayed' }, 0, 1)
    await operator.replay([{ eventSeq: replayed!.eventSeq, deliveries: to(target) }], 3_001)
    const kept = { body: Buffer.from('{}'), contentType: null }
    await outbox.reject({
      source: 'ultravox',
      receivedAt: 1_000,
      reason: 'timestamp_stale',
      requestId: 'req',
      peer: '192.0.2.1',
      bytes: 2,
      headers: '{}',
      kept,
    })
    const [rejectionId] = await operator.findRejections({})
    const admission = { rejectionId: rejectionId!, event: newEvent({ event: 'accepted' }), deliveries: to(target) }
    await operator.admit([admission], 3_002)
    await recordAll(store, ['live', 'alert'], { receivedAt: 4_000, origin: 'relay' })
    const order = ['live', 'alert', 'fetched', 'retried', 'replayed', 'accepted']
    t.same(await claimedOneByOne(store), order)
  })

  contract('a pending delivery that an operator retries stays what it was', async (t, store) => {
    const { operator, target } = store
    await recordAll(store, ['fetched'], { origin: 'reconcile' })
    await recordAll(store, ['live'])
    await operator.retryDeliveries({ target }, 3_000)
    t.same(await claimedOneByOne(store), ['live', 'fetched'])
  })

  contract('of ten that are claimed, one is in the background if both are due', async (t, store) => {
    const { outbox, target } = store
    await recordAll(store, numbered('old', 3), { origin: 'reconcile' })
    await recordAll(store, numbered('new', 30), { receivedAt: 2_000 })
    const oneByOne = await claimedOneByOne(store, 25)
    const places = oneByOne.flatMap((id, index) => (id.startsWith('old') ? [index] : []))
    t.same(places, [9, 19], 'whether claimed one by one')
    t.equal((await outbox.claim(target, 3, LATER)).isLiveDue, true, 'and more live ones are due')
    const { deliveries } = await outbox.claim(target, 8, LATER)
    const rest = deliveries.map(({ event }) => event.event)
    t.same(rest.indexOf('old3'), 1, `or many at once: ${rest}`)
    t.equal((await outbox.claim(target, 8, LATER)).isLiveDue, undefined)
  })

  contract('deliveries handed over straight from the commit count as live ones', async (t, store) => {
    const { outbox, target } = store
    await recordAll(store, numbered('old', 2), { origin: 'reconcile' })
    for (const event of numbered('new', 9)) {
      const { leased } = await outbox.record(newEvent({ event }), [{ target, ordered: false, lease: true }])
      t.equal(leased.length, 1)
    }
    await recordAll(store, ['waiting'])
    t.same(await claimedOneByOne(store), ['old1', 'waiting', 'old2'])
  })

  contract('what a live delivery of an ordered call waits for is live as well', async (t, store) => {
    const { outbox, operator, target } = store
    const apply = { target, order: 'release', paused: false, maxDelayMs: 1_000 } as const
    await outbox.applyTargets([apply], 1_000)
    await finishAll(store, ['other1', 'other2'], { callId: `${target} other` }, true)
    await finishAll(store, ['started', 'joined'], { callId: `${target} call` }, true)
    await operator.retryDeliveries({ target }, 3_000)
    await recordAll(store, ['ended'], { callId: `${target} call`, receivedAt: 4_000 }, true)
    const order: string[] = []
    for (let n = 0; n < 5; n++) {
      const [delivery] = (await outbox.claim(target, 1, LATER)).deliveries
      order.push(delivery!.event.event)
      await outbox.settle(delivery!, attemptAt(delivery!, 'delivered', LATER), { state: 'delivered' })
    }
    t.same(order, ['started', 'joined', 'ended', 'other1', 'other2'])
  })

  contract('a dead delivery that is retried is live if live ones wait for it', async (t, store) => {
    const { outbox, operator, target } = store
    const apply = { target, order: 'hold', paused: false, maxDelayMs: 1_000 } as const
    await outbox.applyTargets([apply], 1_000)
    await recordAll(store, ['started'], { callId: `${target} call` }, true)
    const [first] = (await outbox.claim(target, 1, 2_000)).deliveries
    await outbox.settle(first!, attemptAt(first!, 'refused'), { state: 'dead', hold: true })
    await recordAll(store, ['ended'], { callId: `${target} call` }, true)
    await recordAll(store, ['fetched'], { origin: 'reconcile' })
    t.same(await claimedOneByOne(store, 1), ['fetched'])
    await recordAll(store, ['fetched later'], { origin: 'reconcile' })
    await operator.retryDeliveries({ target, states: ['dead'] }, 5_000)
    t.same(await claimedOneByOne(store), ['started', 'fetched later'])
  })
}
