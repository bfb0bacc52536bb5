import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { systemClock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import type { RateLimit } from '../../src/domain/rate-limit.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const HOUR_MS = 3_600_000
const policy = { initialDelayMs: 1, factor: 1, maxDelayMs: 1, jitter: 0, giveUpAfterMs: null, maxAttempts: null }
const silent = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {}, orphaned() {} }

interface Queue {
  readonly concurrency?: number
  readonly rateLimit?: RateLimit | null
  readonly ordered?: boolean
}

interface Sent {
  /** Which configuration's lane, counted from 1. */
  readonly lane: number
  readonly event: string
  readonly end: (outcome: Outcome) => void
  isOver: boolean
}

/** Lanes on an outbox, whose targets answer when and as the test says; a reload replaces all lanes. */
async function relay(t: Test, queues: Readonly<Record<string, Queue>>, path = join(scratch(t), 'relay.db')) {
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const time = { ms: 0 }
  const capacities = new Capacities(() => time.ms)
  const sent: Sent[] = []
  let lanesMade = 0
  const lanesFor = (next: Readonly<Record<string, Queue>>) => {
    const number = ++lanesMade
    return new Map(
      Object.entries(next).map(([name, { concurrency = 1, rateLimit = null, ordered = false }]) => {
        const target = {
          name,
          send: ({ event }: Delivery, signal: AbortSignal, onSent = () => {}) =>
            new Promise<Outcome>((resolve) => {
              onSent()
              const attempt: Sent = {
                lane: number,
                event: event.event,
                isOver: false,
                end(outcome) {
                  attempt.isOver = true
                  resolve(outcome)
                },
              }
              sent.push(attempt)
              signal.addEventListener('abort', () => attempt.end({ kind: 'interrupted' }))
            }),
          close: async () => {},
        }
        const lane = new Lane({
          target,
          outbox,
          concurrency,
          rateLimit,
          capacity: capacities.of(name),
          policy,
          breaker: { failures: 1_000, cooldownMs: 50, maxCooldownMs: 200 },
          ordered,
          holdOnDead: false,
          clock: systemClock,
          random: () => 0.5,
          log: silent,
        })
        return [name, { lane, order: ordered ? 'release' : 'none', maxDelayMs: 10_000, paused: false }] as const
      }),
    )
  }
  const lanes = new Lanes(lanesFor(queues), { outbox, capacities, clock: systemClock, log: silent })
  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    await lanes.stop(0)
    await outbox.close()
  }
  t.teardown(close)
  await lanes.start()
  return {
    path,
    sent,
    time,
    lanes,
    close,
    async reload(next: Readonly<Record<string, Queue>>, meanwhile = async () => {}) {
      const put = await lanes.prepare(lanesFor(next), Date.now())
      await meanwhile()
      put()
      await lanes.refresh()
    },
    /** Records events with these names, of one call. */
    async record(names: readonly string[], target = 'crm', callId = 'call-1') {
      for (const event of names) await lanes.record(newEvent({ event, callId, receivedAt: Date.now() }), [target])
    },
    underWay: () => sent.filter(({ isOver }) => !isOver),
    events: () => sent.map(({ event }) => event),
    /** The lanes have had time to send more, if they were going to: the outbox has answered, several times over. */
    async quiet() {
      for (let turn = 0; turn < 5; turn++) {
        await outbox.targetStates()
        await sleep(5)
      }
    },
  }
}

t.test('concurrency holds over reloads, however many, and the newest lane goes on when a slot is free', async (t) => {
  const { record, reload, sent, quiet, underWay } = await relay(t, { crm: {} })
  await record(['a', 'b', 'c'])
  await eventually(() => sent.length === 1, 'one is under way')
  for (let n = 0; n < 4; n++) await reload({ crm: {} })
  await Promise.all([reload({ crm: {} }), reload({ crm: {} })])
  await quiet()
  t.equal(sent.length, 1)
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 2, 'the next')
  t.equal(sent[1]!.lane, 7, 'by the lane of the last reload')
  await quiet()
  t.equal(underWay().length, 1)
})

t.test('a lower concurrency waits for the attempts that are under way, and a higher one adds to them', async (t) => {
  const { record, reload, sent, quiet } = await relay(t, { crm: { concurrency: 3 } })
  await record(['a', 'b', 'c', 'd', 'e', 'f', 'g'])
  await eventually(() => sent.length === 3, 'three are under way')
  await reload({ crm: { concurrency: 2 } })
  sent[0]!.end({ kind: 'delivered' })
  await quiet()
  t.equal(sent.length, 3, 'two of the old lane are under way')
  sent[1]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 4, 'one of each')
  await reload({ crm: { concurrency: 4 } })
  await eventually(() => sent.length === 6, 'two more')
  await quiet()
  t.equal(sent.length, 6)
})

t.test('a target that is removed and added again has the slots that its attempts have left', async (t) => {
  const { record, reload, sent, quiet } = await relay(t, { crm: {}, other: {} })
  await record(['a', 'b'])
  await eventually(() => sent.length === 1, 'one is under way')
  await reload({ other: {} })
  await reload({ crm: {}, other: {} })
  await quiet()
  t.equal(sent.length, 1)
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 2, 'the new lane is woken')
})

t.test('a slot that is reserved for an event while its lane is replaced is not lost', async (t) => {
  const { lanes, record, reload, sent, underWay } = await relay(t, { crm: {} })
  await record(['a'])
  await eventually(() => sent.length === 1, 'one is under way')
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => lanes.lane('crm')!.reserve(0), 'the lane is idle')
  lanes.lane('crm')!.cancelReservation(0)
  await Promise.all([record(['b']), reload({ crm: {} })])
  await record(['c'])
  await eventually(() => sent.length === 2, 'sent by one of the two')
  sent[1]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 3, 'there is a slot')
  t.equal(underWay().length, 1)
})

t.test(
  'after a reload, a retry and the next of a call do not wait for the slowest attempt of the old lane',
  async (t) => {
    const queue = { concurrency: 3, ordered: true }
    const { record, reload, sent, events } = await relay(t, { crm: queue })
    await record(['hangs'], 'crm', 'call-1')
    await record(['fails'], 'crm', 'call-2')
    await record(['first', 'second'], 'crm', 'call-3')
    await eventually(() => sent.length === 3, 'all but the second of its call')
    await reload({ crm: queue })
    await reload({ crm: queue })
    const end = (event: string, outcome: Outcome) =>
      sent.find((one) => one.event === event && !one.isOver)!.end(outcome)
    end('first', { kind: 'delivered' })
    await eventually(() => events().includes('second'), 'the next of the call')
    end('fails', { kind: 'failed', error: 'http 503' })
    await eventually(() => events().filter((event) => event === 'fails').length === 2, 'the retry')
    t.same(
      sent.map(({ lane }) => lane),
      [1, 1, 1, 3, 3],
    )
    t.notOk(sent.find(({ event }) => event === 'hangs')!.isOver)
  },
)

t.test('a rate limit counts the attempts of all lanes of its target', async (t) => {
  const limited = (max: number, perMs = HOUR_MS) => ({ crm: { concurrency: 10, rateLimit: { max, perMs } } })
  const { record, reload, sent, time, lanes, quiet } = await relay(t, limited(2))
  await record(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'])
  await eventually(() => sent.length === 2, 'as many as may start')
  const [first, second] = sent
  first!.end({ kind: 'delivered' })
  await reload(limited(2))
  await quiet()
  t.equal(sent.length, 2, 'the same limit')
  await reload(limited(3))
  await eventually(() => sent.length === 3, 'a higher one: one more')
  // As when a command writes to the outbox.
  await reload(limited(1), () => lanes.refresh())
  await quiet()
  t.equal(sent.length, 3, 'a lower one')
  second!.end({ kind: 'delivered' })
  await reload(limited(4, HOUR_MS * 2))
  await eventually(() => sent.length === 4, 'with a longer window: one more')
  await quiet()
  t.equal(sent.length, 4)
  await reload({})
  await reload(limited(4, HOUR_MS * 2))
  await quiet()
  t.equal(sent.length, 4, 'after the target was removed and added again')
  await reload({ crm: { concurrency: 5 } })
  await eventually(() => sent.length === 7, 'without a limit, as many as have a slot')
  await reload(limited(7))
  await quiet()
  t.equal(sent.length, 7, 'with a limit that was added')
  time.ms += HOUR_MS + 2_000
  lanes.lane('crm')!.wake()
  await eventually(() => sent.length === 9, 'a window later')
})

t.test('a restart gives no second allowance', async (t) => {
  const limited = { crm: { concurrency: 10, rateLimit: { max: 3, perMs: HOUR_MS } } }
  const first = await relay(t, limited)
  await first.record(['a', 'b', 'c', 'd', 'e'])
  await eventually(() => first.sent.length === 3, 'as many as may start')
  for (const { end } of first.sent.slice(0, 2)) end({ kind: 'delivered' })
  await eventually(() => first.underWay().length === 1, 'two are answered')
  await first.quiet()
  first.sent[2]!.end({ kind: 'failed', error: 'http 503' })
  await first.quiet()
  await first.close()

  const second = await relay(t, limited, first.path)
  await second.quiet()
  t.equal(second.sent.length, 0)
  await second.reload({ crm: { concurrency: 10, rateLimit: { max: 4, perMs: HOUR_MS } } })
  await eventually(() => second.sent.length === 1, 'a higher limit: one more')
  await second.quiet()
  t.equal(second.sent.length, 1)
  second.time.ms += HOUR_MS
  second.lanes.lane('crm')!.wake()
  await eventually(() => second.sent.length === 3, 'a window later')
})
