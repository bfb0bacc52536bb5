import { join } from 'node:path'
import t from 'tap'
import { Capacities, TargetCapacity } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { systemClock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import type { TargetState } from '../../src/outbox/outbox.ts'
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
      rateLimit: null,
      capacity: new TargetCapacity(name),
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
  const lanes = new Lanes(new Map(configured), { outbox, capacities: new Capacities(), clock: systemClock, log })
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
  const answers = [
    unavailable,
    unavailable,
    async () => [{ target: 'crm', paused: true, breaker: null, throttle: null }],
  ]
  const outbox = { applyTargets: async () => [], targetStates: () => answers.shift()!() } as unknown as SqliteOutbox
  const told: string[] = []
  const log = { orphaned() {}, outboxUnavailable: (_: string, { message }: Error) => told.push(message) }
  const lanes = new Lanes(new Map([['crm', { lane, ...QUEUE, paused: false }]]), {
    outbox,
    capacities: new Capacities(),
    clock: systemClock,
    log,
  })
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
    applyTargets: async () => [],
    targetStates: async () => [{ target: 'crm', paused: isPaused, breaker: null, throttle: null }],
    targetsWithDeliveries: async () => [],
  } as unknown as SqliteOutbox
  const log = { orphaned() {}, outboxUnavailable() {} }
  const lanesThat = (seen: boolean[]) =>
    new Map([['crm', { lane: lane(seen) as unknown as Lane, ...QUEUE, paused: false }]])
  const lanes = new Lanes(lanesThat([]), { outbox, capacities: new Capacities(), clock: systemClock, log })
  const put = await lanes.prepare(lanesThat(paused), 0)
  // The lanes that there are hear of it, and are then replaced.
  isPaused = true
  await lanes.refresh()
  put()
  await eventually(() => paused.at(-1) === true, 'those that replace them hear of it, too')
  t.same(paused, [true], 'and not first that it is not paused')
})

t.test('only a target whose deliveries are being brought in line waits for that', async (t) => {
  const seen: string[] = []
  const lane = (name: string) =>
    ({
      dropClaimed() {},
      setPaused: (isPaused: boolean) => seen.push(`${name} ${isPaused ? 'paused' : 'begins'}`),
      stop: async () => {},
    }) as unknown as Lane
  const lanesThat = (...names: string[]) =>
    new Map(names.map((name) => [name, { lane: lane(name), ...QUEUE, paused: false }]))
  const steps: ((unfinished: string[]) => void)[] = []
  let states: TargetState[] = []
  const outbox = {
    applyTargets: () => new Promise((resolve) => steps.push(resolve)),
    targetStates: async () => states,
    targetsWithDeliveries: async () => [],
  } as unknown as SqliteOutbox
  const log = { orphaned() {}, outboxUnavailable() {} }
  const lanes = new Lanes(lanesThat('long', 'short'), { outbox, capacities: new Capacities(), clock: systemClock, log })
  const step = async (...unfinished: string[]) => {
    await eventually(() => steps.length > 0, 'a step')
    steps.shift()!(unfinished)
  }

  const started = lanes.start()
  await step('long')
  await started
  t.same([...new Set(seen)], ['short begins'], 'the start does not wait for the other one')

  await eventually(() => steps.length > 0, 'the next step')
  states = [{ target: 'short', paused: true, breaker: null, throttle: null }]
  for (let writes = 0; writes < 3; writes++) void lanes.refresh()
  await eventually(() => seen.includes('short paused'), 'a pause meanwhile')
  t.equal(steps.length, 1, 'one step at a time')
  await step()
  await eventually(() => seen.includes('long begins'), 'the other one')
  await step()
  seen.length = 0

  const put = await lanes.prepare(lanesThat('changed', 'new'), 0)
  put()
  await step('changed', 'new')
  await step('changed')
  await eventually(() => seen.includes('new begins'), 'a reload is alike')
  t.notOk(seen.includes('changed begins'))
  await step()
  await eventually(() => seen.includes('changed begins'), 'and ends')
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
    applyTargets: async () => [],
    suspendTargets: async () => {},
    targetStates: async () => [],
    targetsWithDeliveries: async () => [],
  } as unknown as SqliteOutbox
  const lanes = new Lanes(lanesThat('old'), {
    outbox,
    capacities: new Capacities(),
    clock: systemClock,
    log: { orphaned() {}, outboxUnavailable() {} },
  })
  const put = await lanes.prepare(lanesThat('new'), 0)
  await lanes.stop(0)
  put()
  t.same(stopped, ['old', 'new'])
})

t.test('a target whose configuration has changed is tried at once, by a start as by a reload', async (t) => {
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => t.fail(error.message))
  const sent: string[] = []
  const hour = 3_600_000
  const laneWith = (name: string, configHash: string) => {
    const target = {
      name,
      async send({ event: { event } }: Delivery): Promise<Outcome> {
        sent.push(name)
        return event === 'bad' ? { kind: 'failed', error: 'http 503' } : { kind: 'delivered' }
      },
      async close() {},
    }
    return new Lane({
      target,
      outbox,
      concurrency: 2,
      rateLimit: null,
      capacity: new TargetCapacity(name),
      policy: { initialDelayMs: 10, factor: 2, maxDelayMs: 10, jitter: 0, giveUpAfterMs: null, maxAttempts: null },
      breaker: { failures: 1, cooldownMs: hour, maxCooldownMs: hour },
      ordered: false,
      holdOnDead: false,
      clock: systemClock,
      random: Math.random,
      configHash: async () => configHash,
      log: { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} },
    })
  }
  const lanesOf = (...names: [string, string][]) =>
    new Map(names.map(([name, hash]) => [name, { lane: laneWith(name, hash), ...QUEUE, paused: false }] as const))
  const start = async (configured: ReturnType<typeof lanesOf>) => {
    const log = { orphaned() {}, outboxUnavailable() {} }
    const lanes = new Lanes(configured, { outbox, capacities: new Capacities(), clock: systemClock, log })
    await lanes.start()
    return lanes
  }
  const open = async () => {
    const states = await outbox.targetStates()
    return states.filter(({ breaker }) => breaker !== null).map(({ target, breaker }) => [target, breaker!.configHash])
  }
  const names = ['changed', 'same', 'unknown']
  const first = await start(lanesOf(['changed', '1'], ['same', '1'], ['unknown', '1']))
  await first.record(newEvent({ receivedAt: Date.now(), event: 'bad' }), names)
  const opened = names.map((name) => [name, '1'])
  await eventually(async () => (await open()).filter(([, hash]) => hash === '1').length === 3, 'the digest is kept')
  await first.stop(0)
  t.same(await open(), opened)
  await outbox.saveBreaker('unknown', { probeAt: Date.now() + hour, cooldownMs: hour }, Date.now())
  await outbox.record(
    newEvent({ receivedAt: Date.now() }),
    names.map((target) => ({ target, ordered: false })),
  )

  sent.length = 0
  const second = await start(lanesOf(['changed', '2'], ['same', '1'], ['unknown', '1']))
  await eventually(async () => (await open()).length === 2, 'the probe has closed one')
  t.equal(sent[0], 'changed')
  t.same(new Set(sent), new Set(['changed']), 'the others wait out the cooldown')

  sent.length = 0
  const without = await second.prepare(new Map(), Date.now())
  without()
  const withAgain = await second.prepare(lanesOf(['same', '1']), Date.now())
  // What was due at the target that has recovered may still be on its way.
  t.notOk(sent.includes('same'))
  withAgain()
  await eventually(async () => (await open()).length === 1, 'a target that is added again is tried at once, too')
  await second.stop(0)
  await outbox.close()
})

t.test('an attempt of a lane that a reload has replaced does not speak for the new one', async (t) => {
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => t.fail(error.message))
  const ends: ((outcome: Outcome) => void)[] = []
  const lane = () =>
    new Lane({
      target: { name: 'crm', send: () => new Promise<Outcome>((resolve) => ends.push(resolve)), async close() {} },
      outbox,
      concurrency: 2,
      rateLimit: null,
      capacity: new TargetCapacity('crm'),
      policy: { initialDelayMs: 10, factor: 2, maxDelayMs: 10, jitter: 0, giveUpAfterMs: null, maxAttempts: null },
      breaker: { failures: 1, cooldownMs: 1_000, maxCooldownMs: 1_000 },
      ordered: false,
      holdOnDead: false,
      clock: systemClock,
      random: Math.random,
      log: { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} },
    })
  const lanesThat = () => new Map([['crm', { lane: lane(), ...QUEUE, paused: false }]])
  const lanes = new Lanes(lanesThat(), {
    outbox,
    capacities: new Capacities(),
    clock: systemClock,
    log: { orphaned() {}, outboxUnavailable() {} },
  })
  t.teardown(async () => {
    await lanes.stop(0)
    await outbox.close()
  })
  await lanes.start()
  await lanes.record(newEvent({ receivedAt: Date.now() }), ['crm'])
  await eventually(() => ends.length === 1, 'under way')
  const replace = await lanes.prepare(lanesThat(), Date.now())
  replace()
  ends[0]!({ kind: 'failed', error: 'http 503' })
  await eventually(() => ends.length === 2, 'the new lane tries it')
  const states = await outbox.targetStates()
  t.same(
    states.filter(({ breaker }) => breaker !== null),
    [],
  )
  ends[1]!({ kind: 'delivered' })
})
