import t, { type Test } from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import type { Pruned, RetentionPolicy } from '../../src/outbox/retention.ts'
import { scratch } from '../scratch.ts'
import type { OpenOutbox } from './contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const DAY = 86_400_000

export const POLICY: RetentionPolicy = {
  deliveredMs: 30 * DAY,
  deadMs: 90 * DAY,
  rejectionsMs: 7 * DAY,
  keysMs: 400 * DAY,
  maxSizeBytes: null,
}

/** All steps until there is nothing more to do; what they removed in all, and the last one's excess. */
export async function pruneAll(outbox: Outbox, now: number, policy: RetentionPolicy = POLICY): Promise<Pruned> {
  const sum = { events: 0, rejections: 0, keys: 0 }
  for (;;) {
    const { events, rejections, keys, ...step } = await outbox.prune(policy, now)
    sum.events += events
    sum.rejections += rejections
    sum.keys += keys
    if (!step.more) return { ...sum, ...step }
  }
}

/** Records an event and ends its deliveries then; without targets, there are none. */
async function finished(
  outbox: Outbox,
  event: NewEvent,
  targets: Readonly<Record<string, 'delivered' | 'dead' | 'pending'>>,
  endedAt: number,
): Promise<void> {
  await outbox.record(event, to(...Object.keys(targets)))
  for (const [target, state] of Object.entries(targets)) {
    if (state === 'pending') continue
    const [delivery] = (await outbox.claim(target, 1, endedAt)).deliveries
    const attempt = { ...attemptAt(delivery!, state === 'dead' ? 'refused' : state, endedAt), durationMs: 0 }
    await outbox.settle(delivery!, attempt, { state })
  }
}

/** What every implementation has to hold to about removing what is old. */
export function retentionContract(name: string, open: OpenOutbox): void {
  const contract = (title: string, run: (test: Test, outbox: Outbox) => Promise<void>) =>
    t.test(`${name}: ${title}`, async (test) => {
      const outbox = await open(scratch(test))
      test.teardown(() => outbox.close())
      await run(test, outbox)
    })
  const isKnown = async (outbox: Outbox, event: NewEvent) =>
    (await outbox.record({ ...event, eventId: `${event.eventId}-again` }, [])).duplicate

  contract('what is finished goes by when and how it ended, and is still known', async (t, outbox) => {
    const [delivered, dead, none, twice] = [newEvent(), newEvent(), newEvent(), newEvent({ callId: null })]
    await finished(outbox, delivered, { crm: 'delivered' }, 2_000)
    await finished(outbox, dead, { crm: 'delivered', ops: 'dead' }, 3_000)
    await finished(outbox, none, {}, 0)
    await finished(outbox, twice, { crm: 'delivered' }, 5_000)
    const at = (instant: number) => pruneAll(outbox, instant)
    t.match(await at(30 * DAY + 1_000), { events: 0 }, 'not at the limit itself')
    t.match(await at(30 * DAY + 1_001), { events: 1 }, 'the one that went nowhere')
    t.match(await at(30 * DAY + 2_001), { events: 1 }, 'the delivered one')
    t.match(await at(30 * DAY + 6_000), { events: 1 }, 'the one without a call')
    t.match(await at(90 * DAY + 3_000), { events: 0 })
    t.match(await at(90 * DAY + 3_001), { events: 1 }, 'the dead one, with all of its deliveries')
    for (const event of [delivered, dead, none, twice]) t.equal(await isKnown(outbox, event), true)
    t.same((await outbox.claim('crm', 9, 500 * DAY)).deliveries, [])
  })

  contract('keys go long after, and what comes then is new', async (t, outbox) => {
    const event = newEvent()
    await finished(outbox, event, { crm: 'delivered' }, 2_000)
    t.match(await pruneAll(outbox, 400 * DAY + 1_000), { events: 1, keys: 0 })
    t.equal(await isKnown(outbox, event), true)
    t.match(await pruneAll(outbox, 400 * DAY + 1_001), { events: 0, keys: 1 })
    t.equal(await isKnown(outbox, event), false)
  })

  contract('what is unfinished stays whole, however old and whatever the size', async (t, outbox) => {
    const event = newEvent()
    await finished(outbox, event, { crm: 'pending', ops: 'delivered' }, 2_000)
    const policy = { ...POLICY, maxSizeBytes: 1 }
    const { events, excessBytes } = await pruneAll(outbox, 1_000 * DAY, policy)
    t.equal(events, 0)
    t.ok(excessBytes > 0, 'and that is told')
    const [delivery] = (await outbox.claim('crm', 1, 1_000 * DAY)).deliveries
    t.same(Buffer.from(delivery!.event.body), Buffer.from(event.body))
  })

  contract('a dead delivery that holds its call back stays', async (t, outbox) => {
    await outbox.record(newEvent({ callId: 'held' }), [{ target: 'crm', ordered: true }])
    const [delivery] = (await outbox.claim('crm', 1, 2_000)).deliveries
    await outbox.settle(delivery!, attemptAt(delivery!, 'refused'), { state: 'dead', hold: true })
    t.match(await pruneAll(outbox, 300 * DAY, { ...POLICY, maxSizeBytes: 1 }), { events: 0 })
  })

  contract('rejections have an age of their own, and kept ones that of dead deliveries', async (t, outbox) => {
    const rejection = { source: 'ultravox', requestId: 'req_1', peer: '127.0.0.1', bytes: 1, headers: '{}' }
    for (const receivedAt of [0, 1]) {
      const kept = { body: Buffer.from([receivedAt]), contentType: null }
      await outbox.reject({ ...rejection, receivedAt, reason: 'timestamp_stale', kept })
      await outbox.reject({ ...rejection, receivedAt, reason: 'signature_missing', kept: null })
    }
    t.match(await pruneAll(outbox, 7 * DAY + 1), { rejections: 1, events: 0 })
    t.match(await pruneAll(outbox, 7 * DAY + 2), { rejections: 1 })
    t.match(await pruneAll(outbox, POLICY.deadMs), { rejections: 0 })
    t.match(await pruneAll(outbox, POLICY.deadMs + 2), { rejections: 2 })
  })

  contract('over its size the oldest finished go first, and no more than it takes', async (t, outbox) => {
    const body = Buffer.alloc(100_000, 'x')
    const events = Array.from({ length: 40 }, (_, n) => newEvent({ body, receivedAt: 1_000 + n }))
    for (const event of events) await finished(outbox, event, { crm: 'delivered' }, 5_000)
    const policy = { ...POLICY, maxSizeBytes: 2_000_000 }
    const { events: removed, excessBytes } = await pruneAll(outbox, 10_000, policy)
    t.equal(excessBytes, 0)
    t.ok(removed >= 20 && removed <= 25, `${removed} of 40 with 100 KB each, for 2 MB`)
    for (const event of events) t.equal(await isKnown(outbox, event), true)
    t.match(await pruneAll(outbox, 10_000, policy), { events: 0 }, 'it is enough')
  })

  contract('many take many steps, and events are recorded between them', async (t, outbox) => {
    const events = Array.from({ length: 3_000 }, () => newEvent())
    await Promise.all(events.map((event) => outbox.record(event, [])))
    let steps = 0
    let removed = 0
    for (let more = true; more; steps++) {
      const [step, recorded] = await Promise.all([
        outbox.prune(POLICY, 31 * DAY),
        outbox.record(newEvent({ receivedAt: 31 * DAY }), to('crm')),
      ])
      t.equal(recorded.duplicate, false)
      removed += step.events
      more = step.more
    }
    t.equal(removed, 3_000)
    t.ok(steps > 2, `${steps} steps`)
  })

  contract('another policy holds at once, in the middle of the work', async (t, outbox) => {
    const events = Array.from({ length: 3_000 }, () => newEvent())
    await Promise.all(events.map((event) => outbox.record(event, [])))
    const first = await outbox.prune(POLICY, 31 * DAY)
    t.ok(first.more)
    t.match(await pruneAll(outbox, 31 * DAY, { ...POLICY, deliveredMs: 60 * DAY }), { events: 0 })
    t.match(await pruneAll(outbox, 31 * DAY), { events: 3_000 - first.events })
  })

  contract('nothing holds the log where nobody reads', async (t, outbox) => {
    await outbox.record(newEvent(), to('crm'))
    t.equal(await outbox.heldLogBytes(), 0)
  })
}
