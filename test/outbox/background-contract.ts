import t, { type Test } from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { scratch } from '../scratch.ts'
import type { BothSides, OpenBothSides } from './operator-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const LATER = 50_000

/** Which deliveries go before which; every implementation of the outbox has to hold to it. */
export function backgroundContract(name: string, open: OpenBothSides): void {
  const contract = (title: string, run: (test: Test, both: BothSides) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => {
      const both = await open(scratch(test))
      test.teardown(async () => {
        await both.operator.close()
        await both.outbox.close()
      })
      await run(test, both)
    })

  /** The event ids of what one claim after the other takes, one at a time. */
  async function claimedOneByOne(outbox: Outbox, count = 100): Promise<string[]> {
    const ids: string[] = []
    while (ids.length < count) {
      const [delivery] = (await outbox.claim('crm', 1, LATER)).deliveries
      if (delivery === undefined) break
      ids.push(delivery.event.eventId)
    }
    return ids
  }

  async function recordAll(outbox: Outbox, ids: readonly string[], given: Partial<NewEvent> = {}, ordered = false) {
    for (const eventId of ids) {
      await outbox.record(newEvent({ eventId, event: eventId, ...given }), [{ target: 'crm', ordered }])
    }
  }

  /** Records events and ends their deliveries. */
  async function finishAll(outbox: Outbox, ids: readonly string[], given: Partial<NewEvent> = {}, ordered = false) {
    for (const eventId of ids) {
      await recordAll(outbox, [eventId], given, ordered)
      const [delivery] = (await outbox.claim('crm', 1, 2_000)).deliveries
      await outbox.settle(delivery!, attemptAt(delivery!, 'delivered'), { state: 'delivered' })
    }
  }

  const numbered = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n + 1}`)

  contract('new events go before what an operator or reconciliation has added', async (t, { outbox, operator }) => {
    await finishAll(outbox, ['retried', 'replayed'])
    await recordAll(outbox, ['fetched'], { origin: 'reconcile' })
    await operator.retryDeliveries({ eventIds: ['retried'] }, 3_000)
    const [replayed] = await operator.readEvents({ eventIds: ['replayed'] }, 0, 1)
    await operator.replay([{ eventSeq: replayed!.eventSeq, deliveries: to('crm') }], 3_001)
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
    const admission = { rejectionId: rejectionId!, event: newEvent({ eventId: 'accepted' }), deliveries: to('crm') }
    await operator.admit([admission], 3_002)
    await recordAll(outbox, ['live', 'alert'], { receivedAt: 4_000, origin: 'relay' })
    const order = ['live', 'alert', 'fetched', 'retried', 'replayed', 'accepted']
    t.same(await claimedOneByOne(outbox), order)
  })

  contract('a pending delivery that an operator retries stays what it was', async (t, { outbox, operator }) => {
    await recordAll(outbox, ['fetched'], { origin: 'reconcile' })
    await recordAll(outbox, ['live'])
    await operator.retryDeliveries({}, 3_000)
    t.same(await claimedOneByOne(outbox), ['live', 'fetched'])
  })

  contract('of ten that are claimed, one is in the background if both are due', async (t, { outbox }) => {
    await recordAll(outbox, numbered('old', 3), { origin: 'reconcile' })
    await recordAll(outbox, numbered('new', 30), { receivedAt: 2_000 })
    const oneByOne = await claimedOneByOne(outbox, 25)
    const places = oneByOne.flatMap((id, index) => (id.startsWith('old') ? [index] : []))
    t.same(places, [9, 19], 'whether claimed one by one')
    t.equal((await outbox.claim('crm', 3, LATER)).isLiveDue, true, 'and more live ones are due')
    const { deliveries } = await outbox.claim('crm', 8, LATER)
    const rest = deliveries.map(({ event }) => event.eventId)
    t.same(rest.indexOf('old3'), 1, `or many at once: ${rest}`)
    t.equal((await outbox.claim('crm', 8, LATER)).isLiveDue, undefined)
  })

  contract('deliveries handed over straight from the commit count as live ones', async (t, { outbox }) => {
    await recordAll(outbox, numbered('old', 2), { origin: 'reconcile' })
    for (const eventId of numbered('new', 9)) {
      const { leased } = await outbox.record(newEvent({ eventId }), [{ target: 'crm', ordered: false, lease: true }])
      t.equal(leased.length, 1)
    }
    await recordAll(outbox, ['waiting'])
    t.same(await claimedOneByOne(outbox), ['old1', 'waiting', 'old2'])
  })

  contract('what a live delivery of an ordered call waits for is live as well', async (t, { outbox, operator }) => {
    const apply = { target: 'crm', order: 'release', paused: false, maxDelayMs: 1_000 } as const
    await outbox.applyTargets([apply], 1_000)
    await finishAll(outbox, ['other1', 'other2'], { callId: 'other' }, true)
    await finishAll(outbox, ['started', 'joined'], { callId: 'call' }, true)
    await operator.retryDeliveries({}, 3_000)
    await recordAll(outbox, ['ended'], { callId: 'call', receivedAt: 4_000 }, true)
    const order: string[] = []
    for (let n = 0; n < 5; n++) {
      const [delivery] = (await outbox.claim('crm', 1, LATER)).deliveries
      order.push(delivery!.event.eventId)
      await outbox.settle(delivery!, attemptAt(delivery!, 'delivered', LATER), { state: 'delivered' })
    }
    t.same(order, ['started', 'joined', 'ended', 'other1', 'other2'])
  })

  contract('a dead delivery that is retried is live if live ones wait for it', async (t, { outbox, operator }) => {
    const apply = { target: 'crm', order: 'hold', paused: false, maxDelayMs: 1_000 } as const
    await outbox.applyTargets([apply], 1_000)
    await recordAll(outbox, ['started'], { callId: 'call' }, true)
    const [first] = (await outbox.claim('crm', 1, 2_000)).deliveries
    await outbox.settle(first!, attemptAt(first!, 'refused'), { state: 'dead', hold: true })
    await recordAll(outbox, ['ended'], { callId: 'call' }, true)
    await recordAll(outbox, ['fetched'], { origin: 'reconcile' })
    t.same(await claimedOneByOne(outbox, 1), ['fetched'])
    await recordAll(outbox, ['fetched later'], { origin: 'reconcile' })
    await operator.retryDeliveries({ states: ['dead'] }, 5_000)
    t.same(await claimedOneByOne(outbox), ['started', 'fetched later'])
  })
}
