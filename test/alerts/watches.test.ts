import t from 'tap'
import { watchHeldCalls } from '../../src/alerts/held-calls.ts'
import { watchBacklog } from '../../src/alerts/old-backlog.ts'
import type { Alert } from '../../src/alerts/relay-event.ts'
import { watchSilence } from '../../src/alerts/silent-sources.ts'
import { intervalFor, startWatches } from '../../src/alerts/watches.ts'
import type { HeldBacklog } from '../../src/outbox/outbox.ts'
import { HandSchedule, settled } from './hand-schedule.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

function silence(limits: Record<string, number>) {
  const time = new HandSchedule()
  const raised: string[] = []
  const recovered: Alert[] = []
  const watch = watchSilence({
    recovered: (alert) => recovered.push(alert),
    clock: time.clock,
    stopwatch: time.stopwatch,
    raise: ({ subject, facts }) => raised.push(`${subject} ${(facts.source as { lastEventAt: string }).lastEventAt}`),
  })
  watch.expect(new Map(Object.entries(limits)))
  const look = async (ms: number) => {
    await time.pass(ms)
    await watch.check()
  }
  return { time, raised, recovered, watch, look }
}

t.test('a source is told of once when nothing has come since the start for too long', async (t) => {
  const { raised, look } = silence({ ultravox: HOUR, slow: 3 * HOUR })
  await look(HOUR)
  t.same(raised, [], 'not at the limit itself')
  await look(1)
  t.same(raised, ['ultravox null'])
  await look(HOUR)
  t.same(raised, ['ultravox null'], 'once')
})

t.test('a genuine event ends the silence, and the next one is told of again', async (t) => {
  const { raised, recovered, watch, look } = silence({ ultravox: HOUR })
  await look(HOUR - 1)
  watch.heard('ultravox')
  t.match(recovered, [{ event: 'relay.source.resumed', subject: 'ultravox' }])
  watch.heard('unwatched')
  await look(HOUR - 1)
  t.same(raised, [], 'counted from the last event')
  await look(2)
  t.same(raised, ['ultravox 2026-01-15T12:59:59.999Z'])
  watch.heard('ultravox')
  await look(HOUR + 1)
  t.equal(raised.length, 2)
})

t.test('a clock that is moved by an hour, either way, neither makes a silence nor hides one', async (t) => {
  for (const ms of [HOUR, -HOUR]) {
    const { time, raised, watch, look } = silence({ ultravox: 10 * MINUTE })
    watch.heard('ultravox')
    time.moveClock(ms)
    await look(9 * MINUTE)
    t.same(raised, [])
    await look(2 * MINUTE)
    t.equal(raised.length, 1)
  }
})

function backlog() {
  const time = new HandSchedule()
  const raised: Alert[] = []
  const recovered: Alert[] = []
  const dueAt: Record<string, number | null> = { crm: null, ops: null }
  const watch = watchBacklog({
    recovered: (alert) => recovered.push(alert),
    targets: ['crm', 'ops'],
    alertAfterMs: 15 * MINUTE,
    outbox: {
      oldestDueAt: async (target, now) => {
        const due = dueAt[target] ?? null
        return due !== null && due <= now ? due : null
      },
    },
    clock: time.clock,
    raise: (alert) => raised.push(alert),
  })
  const look = async (ms: number) => {
    await time.pass(ms)
    await watch.check()
  }
  return { time, raised, recovered, dueAt, look }
}

t.test(
  'a target whose oldest due delivery waits too long is told of once, and again after it was not so',
  async (t) => {
    const { time, raised, recovered, dueAt, look } = backlog()
    dueAt.crm = time.clock.now()
    await look(15 * MINUTE)
    await look(MINUTE)
    t.same(raised, [], 'seen once, it may be about to go')
    await look(MINUTE)
    t.match(raised, [{ event: 'relay.backlog.old', subject: 'crm' }])
    recovered.length = 0
    await look(MINUTE)
    t.equal(raised.length, 1, 'once')
    t.notOk(recovered.some(({ subject }) => subject === 'crm'))
    dueAt.crm = time.clock.now()
    await look(MINUTE)
    t.match(recovered.at(0), { event: 'relay.backlog.cleared' })
    t.ok(recovered.some(({ subject }) => subject === 'crm'))
    await look(15 * MINUTE)
    await look(MINUTE)
    t.equal(raised.length, 2)
  },
)

t.test('what a clock that jumps ahead makes due, and the lane then sends, is not told of', async (t) => {
  const { time, raised, dueAt, look } = backlog()
  dueAt.crm = time.clock.now() + 10 * MINUTE
  time.moveClock(HOUR)
  await look(1)
  dueAt.crm = time.clock.now()
  await look(MINUTE)
  t.same(raised, [])
})

t.test('calls that dead deliveries hold for too long are reported once, and their release', async (t) => {
  const time = new HandSchedule()
  const [raised, recovered]: Alert[][] = [[], []]
  const since = time.clock.now()
  let held: HeldBacklog | null = { deliveries: 90, calls: 3, since }
  const watch = watchHeldCalls({
    targets: ['crm'],
    alertAfterMs: 15 * MINUTE,
    outbox: { heldBacklog: async () => held },
    clock: time.clock,
    raise: (alert) => raised!.push(alert),
    recovered: (alert) => recovered!.push(alert),
  })
  await watch.check()
  await time.pass(15 * MINUTE)
  await watch.check()
  t.same([...raised!, ...recovered!], [], 'an operator may be about to release them')
  await time.pass(MINUTE)
  await watch.check()
  t.match(raised, [{ event: 'relay.target.calls_held', facts: { target: { held: 90, heldCalls: 3 } } }])
  held = null
  await watch.check()
  t.match(recovered, [{ event: 'relay.target.calls_released', subject: 'crm' }])
})

t.test('watches look at once and then again and again, after an error too, and not after their end', async (t) => {
  const time = new HandSchedule()
  const looks: number[] = []
  const errors: string[] = []
  const stop = startWatches(
    [
      {
        name: 'odd',
        everyMs: 1_000,
        async check() {
          looks.push(time.stopwatch())
          if (looks.length === 2) throw new Error('no')
        },
      },
    ],
    time.schedule,
    (watch, error) => errors.push(`${watch}: ${(error as Error).message}`),
  )
  await time.pass(2_500)
  t.same(looks, [0, 1_000, 2_000])
  t.same(errors, ['odd: no'])
  await stop()
  t.equal(time.pending, 0)
})

t.test('a look under way ends before the watches have ended, and no other follows', async (t) => {
  const time = new HandSchedule()
  let end = () => {}
  const stop = startWatches(
    [{ name: 'slow', everyMs: 1_000, check: () => new Promise<void>((resolve) => (end = resolve)) }],
    time.schedule,
    () => {},
  )
  await time.pass(5_000)
  t.equal(time.pending, 0, 'never two at once')
  let ended = false
  const stopped = stop().then(() => {
    ended = true
  })
  await settled()
  t.equal(ended, false)
  end()
  await stopped
  t.equal(time.pending, 0)
})

t.test('the interval is a quarter of what is waited for, from a tenth of a second to a minute', async (t) => {
  t.same([1, 1_000, 10_000, HOUR, Number.POSITIVE_INFINITY].map(intervalFor), [100, 250, 2_500, MINUTE, MINUTE])
})
