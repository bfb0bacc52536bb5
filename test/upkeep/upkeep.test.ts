import t from 'tap'
import type { Alert } from '../../src/alerts/relay-event.ts'
import { startWatches } from '../../src/alerts/watches.ts'
import type { Pruned, RetentionPolicy } from '../../src/outbox/retention.ts'
import { DiskReserve } from '../../src/upkeep/disk-reserve.ts'
import { freeBytesAt } from '../../src/upkeep/free-space.ts'
import { watchHeldLog } from '../../src/upkeep/held-log-watch.ts'
import { watchRetention } from '../../src/upkeep/retention-watch.ts'
import { HandSchedule } from '../alerts/hand-schedule.ts'

const DAY = 86_400_000
const policy: RetentionPolicy = {
  deliveredMs: DAY,
  deadMs: DAY,
  rejectionsMs: DAY,
  keysMs: 400 * DAY,
  maxSizeBytes: null,
}
const nothing: Pruned = { events: 0, rejections: 0, keys: 0, more: false, excessBytes: 0 }

/** Retention over steps that are given one after the other and take so long each. */
function retention(steps: (Pruned | Error)[], took = 5, given: Partial<RetentionPolicy> = {}) {
  const time = new HandSchedule()
  const raised: Alert[] = []
  const recovered: string[] = []
  const logged: unknown[] = []
  const calledAt: number[] = []
  const watch = watchRetention({
    policy: { ...policy, ...given },
    store: {
      async prune() {
        calledAt.push(time.stopwatch())
        const step = steps.shift() ?? nothing
        if (step instanceof Error) throw step
        return step
      },
    },
    clock: time.clock,
    // Read before and after each step.
    stopwatch: () => calledAt.length * took,
    raise: (alert) => raised.push(alert),
    recovered: (alert) => recovered.push(alert.event),
    log: { pruned: (removed) => logged.push(removed), full: (...args) => logged.push(args) },
  })
  return { time, watch, raised, logged, calledAt }
}

t.test('while there is more to remove it goes on after a pause, else after a minute', async (t) => {
  const step = { ...nothing, events: 100, more: true }
  const { time, watch, logged, calledAt } = retention([step, step, { ...nothing, keys: 1 }], 10)
  const stop = startWatches([watch], time.schedule, (_, error) => t.fail(String(error)))
  await time.pass(60_080)
  t.same(calledAt, [0, 40, 80, 60_080], 'four times as long as it took')
  t.same(logged, [{ events: 200, rejections: 0, keys: 1 }], 'told once, and nothing of nothing')
  await stop()
})

t.test('a pause is never very short or long, and a step that fails is made again in good time', async (t) => {
  const more = { ...nothing, more: true }
  for (const [took, pause] of [
    [0, 20],
    [5_000, 1_000],
  ] as const) {
    const { watch } = retention([more], took)
    await watch.check()
    t.equal(watch.everyMs, pause)
  }
  const { watch } = retention([more, new Error('disk full')])
  await watch.check()
  await t.rejects(async () => watch.check(), { message: 'disk full' })
  t.equal(watch.everyMs, 60_000)
})

t.test('how often it looks goes by the shortest age, and by the size where there is a bound', async (t) => {
  for (const [given, everyMs] of [
    [{ rejectionsMs: 1_000 }, 250],
    [{ maxSizeBytes: 1 }, 10_000],
    [{ keysMs: 1 }, 60_000],
  ] as const) {
    const { watch } = retention([], 5, given)
    await watch.check()
    t.equal(watch.everyMs, everyMs, JSON.stringify(given))
  }
})

t.test('an outbox that cannot be kept to its size is told of once, until it can', async (t) => {
  const over = { ...nothing, excessBytes: 5 * 1024 ** 2 }
  const { watch, raised, logged } = retention([over, over, nothing, over], 5, { maxSizeBytes: 10 * 1024 ** 2 })
  for (let n = 0; n < 4; n++) await watch.check()
  t.equal(raised.length, 2)
  t.match(raised[0], { event: 'relay.outbox.full', message: /holds 15mb, more than its maxSize of 10mb, and nothing/ })
  t.same(logged[0], [5 * 1024 ** 2, 10 * 1024 ** 2])
})

t.test('a log that is held back for longer than a backup takes is told of once', async (t) => {
  const raised: Alert[] = []
  const recovered: string[] = []
  let bytes = 100 * 1024 ** 2
  const watch = watchHeldLog({
    store: { heldLogBytes: async () => bytes },
    path: '/var/lib/relay.db',
    raise: (alert) => raised.push(alert),
    recovered: (alert) => recovered.push(alert.event),
  })
  await watch.check()
  t.same(raised, [])
  await watch.check()
  await watch.check()
  t.match(raised, [{ event: 'relay.outbox.wal_pinned', message: /grown to 100mb: .*fuser -v \/var\/lib\/relay\.db/ }])
  t.same(recovered, [])
  bytes = 0
  await watch.check()
  t.same(recovered, ['relay.outbox.wal_released'])
  bytes = 64 * 1024 ** 2
  await watch.check()
  await watch.check()
  t.equal(raised.length, 2)
})

/** A reserve on a disk of which a test says what is free. */
function reserve() {
  const disk = { free: 1_000 }
  const told: string[] = []
  const of = new DiskReserve({
    freeBytes: async () => disk.free,
    log: { refusing: (free) => told.push(`refusing ${free}`), taking: (free) => told.push(`taking ${free}`) },
  })
  return { disk, told, of }
}

t.test('below the reserve nothing is taken, until there is somewhat more than it', async (t) => {
  const { disk, told, of } = reserve()
  let taken = 0
  const take = of.guarding(async (what: string) => {
    taken += 1
    return what
  })
  const look = async (free: number) => {
    disk.free = free
    await of.look(500)
  }
  await look(500)
  t.equal(await take('a'), 'a')
  await look(499)
  await t.rejects(take('b'), { code: 'outbox_unavailable', message: /left on the file system.*outbox\.reserve/ })
  t.equal(taken, 1, 'it is not even tried')
  await look(524)
  await t.rejects(take('b'), { code: 'outbox_unavailable' }, 'not on the edge')
  t.match(of.problem, /once 5 % more than that is free$/)
  await look(525)
  t.equal(of.problem, null)
  t.equal(await take('b'), 'b')
  t.same(told, ['refusing 499', 'taking 525'])
})

t.test('low space is told of once until there is enough again', async (t) => {
  const raised: Alert[] = []
  const { disk, of } = reserve()
  const recovered: string[] = []
  const watch = of.watch(
    500,
    (alert) => raised.push(alert),
    (alert) => recovered.push(alert.event),
  )
  for (const free of [500, 499, 498]) {
    disk.free = free
    await watch.check()
  }
  t.match(raised, [{ event: 'relay.outbox.low_space', facts: { outbox: { freeBytes: 499, reserveBytes: 500 } } }])
  t.same(recovered, ['relay.outbox.space_recovered'], 'only before it was low')
  for (const free of [600, 0]) {
    disk.free = free
    await watch.check()
  }
  t.equal(raised.length, 2)
  t.equal(recovered.length, 2)
})

t.test('a reserve of nothing is never in the way', async (t) => {
  const { disk, of } = reserve()
  disk.free = 0
  await of.look(0)
  t.equal(of.problem, null)
})

t.test('the free space of a directory is a number of bytes', async (t) => {
  t.ok((await freeBytesAt(t.testdir())) > 0)
  await t.rejects(freeBytesAt('/nonexistent'))
})
