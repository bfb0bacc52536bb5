import { join } from 'node:path'
import t from 'tap'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { systemClock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import { UNLIMITED } from '../../src/domain/rate-limit.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

/** How the configuration treats the queue of each target here. */
const QUEUE = { order: 'none', maxDelayMs: 10_000 } as const

t.test('what comes before it is known which targets are paused waits until it is', async (t) => {
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => t.fail(error.message))
  const sent: string[] = []
  const lane = (name: string) =>
    new Lane({
      target: {
        name,
        async send({ target }: Delivery) {
          sent.push(target)
          return { kind: 'delivered' }
        },
        async close() {},
      },
      outbox,
      concurrency: 2,
      rate: UNLIMITED,
      policy: { initialDelayMs: 10, factor: 2, maxDelayMs: 10, jitter: 0, giveUpAfterMs: null, maxAttempts: null },
      breaker: { failures: 3, cooldownMs: 50, maxCooldownMs: 200 },
      ordered: false,
      holdOnDead: false,
      clock: systemClock,
      random: Math.random,
      log: { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} },
    })
  const configured = ['crm', 'resting'].map(
    (name) => [name, { lane: lane(name), ...QUEUE, paused: name === 'resting' }] as const,
  )
  const log = { orphaned() {}, outboxUnavailable() {} }
  const lanes = new Lanes(new Map(configured), { outbox, clock: systemClock, log })
  t.teardown(async () => {
    await lanes.stop(0)
    await outbox.close()
  })

  await lanes.record(newEvent({ receivedAt: Date.now() }), ['crm', 'resting'])
  // Whatever a lane would have done on its own is done when the outbox has answered once more.
  await outbox.targetStates()
  t.same(sent, [])

  await lanes.start()
  await eventually(() => sent.length > 0, 'the one that is not paused has it')
  t.same(sent, ['crm'])
})

t.test('which targets are paused is asked again when it could not be read', async (t) => {
  const paused: boolean[] = []
  const lane = { dropClaimed() {}, setPaused: (isPaused: boolean) => paused.push(isPaused) } as unknown as Lane
  const unavailable = () => Promise.reject(new RelayError('outbox_unavailable', 'outbox: SQLITE_BUSY'))
  const answers = [unavailable, unavailable, async () => [{ target: 'crm', paused: true, breaker: null }]]
  const outbox = { applyTargets: async () => true, targetStates: () => answers.shift()!() } as unknown as SqliteOutbox
  const told: string[] = []
  const log = { orphaned() {}, outboxUnavailable: (_: string, { message }: Error) => told.push(message) }
  const lanes = new Lanes(new Map([['crm', { lane, ...QUEUE, paused: false }]]), { outbox, clock: systemClock, log })
  await lanes.refresh()
  await eventually(() => paused.length > 0, 'nobody has to say again that something has changed')
  t.same(paused, [true])
  t.same(told, ['outbox: SQLITE_BUSY', 'outbox: SQLITE_BUSY'])
})

t.test('a target that is paused while lanes are being replaced is not missed', async (t) => {
  const paused: boolean[] = []
  const lane = (seen: boolean[]) => ({
    dropClaimed() {},
    setPaused: (isPaused: boolean) => seen.push(isPaused),
    stop: async () => {},
    wake() {},
  })
  let isPaused = false
  const outbox = {
    applyTargets: async () => true,
    targetStates: async () => [{ target: 'crm', paused: isPaused, breaker: null }],
    targetsWithDeliveries: async () => [],
  } as unknown as SqliteOutbox
  const log = { orphaned() {}, outboxUnavailable() {} }
  const lanesThat = (seen: boolean[]) =>
    new Map([['crm', { lane: lane(seen) as unknown as Lane, ...QUEUE, paused: false }]])
  const lanes = new Lanes(lanesThat([]), { outbox, clock: systemClock, log })
  const put = await lanes.prepare(lanesThat(paused), 0)
  // The lanes that there are hear of it, and are then replaced.
  isPaused = true
  await lanes.refresh()
  put()
  await eventually(() => paused.at(-1) === true, 'those that replace them hear of it, too')
  t.same(paused, [true], 'and not first that it is not paused')
})

t.test('lanes that are put in place while all are being stopped are stopped as well', async (t) => {
  const stopped: string[] = []
  const lanesThat = (name: string) => {
    const lane = {
      dropClaimed() {},
      setPaused() {},
      wake() {},
      stop: async () => void stopped.push(name),
    } as unknown as Lane
    return new Map([['crm', { lane, ...QUEUE, paused: false }]])
  }
  const outbox = {
    applyTargets: async () => true,
    targetStates: async () => [],
    targetsWithDeliveries: async () => [],
  } as unknown as SqliteOutbox
  const lanes = new Lanes(lanesThat('old'), {
    outbox,
    clock: systemClock,
    log: { orphaned() {}, outboxUnavailable() {} },
  })
  const put = await lanes.prepare(lanesThat('new'), 0)
  await lanes.stop(0)
  put()
  t.same(stopped, ['old', 'new'])
})
