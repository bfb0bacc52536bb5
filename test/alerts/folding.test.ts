import t from 'tap'
import { Folding } from '../../src/alerts/folding.ts'
import { type Alert, targetClosed, targetOpened } from '../../src/alerts/relay-event.ts'
import { HandSchedule, settled } from './hand-schedule.ts'

const MINUTE = 60_000
const start = Date.UTC(2026, 0, 15, 12)
const opened = (target: string, probeAt = 0) => targetOpened(target, probeAt)

function setUp(out: () => boolean | Promise<boolean> = () => true) {
  const time = new HandSchedule()
  const emitted: { alert: Alert; at: number; count: number }[] = []
  const folding = new Folding({
    windowMs: 5 * MINUTE,
    firstWindowMs: MINUTE / 4,
    schedule: time.schedule,
    clock: time.clock,
    async emit(alert, at, count) {
      emitted.push({ alert, at: (at - start) / MINUTE, count })
      return out()
    },
  })
  return { time, emitted, folding }
}

t.test('the first alert goes out at once, and those like it as one at the end of the window', async (t) => {
  const { time, emitted, folding } = setUp()
  folding.raise(opened('crm', 1))
  t.strictSame(emitted, [{ alert: opened('crm', 1), at: 0, count: 1 }])
  for (let n = 2; n <= 4; n++) {
    await time.pass(MINUTE)
    folding.raise(opened('crm', n))
  }
  await time.pass(2 * MINUTE - 1)
  t.equal(emitted.length, 1, 'not before the window ends')
  await time.pass(1)
  t.strictSame(emitted.slice(1), [{ alert: opened('crm', 4), at: 3, count: 3 }], 'the last, with the number of them')
})

const dead = (deliveryId: number, kind: string, target = 'crm'): Alert => ({
  event: 'relay.delivery.dead',
  subject: target,
  kind,
  message: '',
  facts: {},
  deliveries: [{ deliveryId, eventId: `evt_${deliveryId}`, callId: `call-${deliveryId}` }],
})

t.test('of many deaths the first is told at once, and soon how many there are, with a few of them', async (t) => {
  const { time, emitted, folding } = setUp()
  for (let n = 1; n <= 40; n++) folding.raise(dead(n, 'http 401'))
  t.match(emitted, [{ at: 0, count: 1, alert: { deliveries: [{ deliveryId: 1 }] } }])
  await time.pass(MINUTE / 4)
  t.match(emitted[1], { at: 0, count: 39 })
  t.strictSame(
    emitted[1]?.alert.deliveries?.map(({ deliveryId }) => deliveryId),
    [2, 3, 4, 5, 6],
  )
  folding.raise(dead(41, 'http 401'))
  await time.pass(5 * MINUTE - 1)
  t.equal(emitted.length, 2, 'then they are folded for longer')
  await time.pass(1)
  t.match(emitted[2], { count: 1 })
})

t.test('the first death for another cause or at another target is told at once, up to a bound', async (t) => {
  const { emitted, folding } = setUp()
  for (const kind of ['http 401', 'timeout', 'http 401', 'template', 'http 401']) folding.raise(dead(1, kind))
  folding.raise(dead(1, 'http 401', 'ops'))
  t.strictSame(
    emitted.map(({ alert: { kind, subject } }) => `${subject} ${kind}`),
    ['crm http 401', 'crm timeout', 'crm template', 'ops http 401'],
  )
  for (let status = 500; status < 600; status++) folding.raise(dead(1, `http ${status}`))
  t.equal(emitted.length, 7, 'a target that always answers otherwise makes no storm')
})

t.test('a window in which nothing is folded ends quietly, and the next alert goes out at once', async (t) => {
  const { time, emitted, folding } = setUp()
  folding.raise(opened('crm'))
  await time.pass(5 * MINUTE)
  t.equal(emitted.length, 1)
  t.equal(time.pending, 0)
  folding.raise(opened('crm'))
  t.equal(emitted.length, 2)
})

t.test('a storm gives one event per window', async (t) => {
  const { time, emitted, folding } = setUp()
  for (let minute = 0; minute < 60; minute++) {
    for (let n = 0; n < 100; n++) folding.raise(opened('crm'))
    await time.pass(MINUTE)
  }
  t.equal(emitted.length, 13)
  await time.pass(5 * MINUTE)
  t.equal(
    emitted.reduce((sum, { count }) => sum + count, 0),
    6_000,
    'all are counted',
  )
})

t.test('alerts of another event or about another subject are not folded together', async (t) => {
  const { emitted, folding } = setUp()
  folding.raise(opened('crm'))
  folding.raise(opened('ops'))
  folding.raise(targetClosed('crm'))
  t.equal(emitted.length, 3)
})

t.test('stopping lets out what is folded, leaves no timer and waits until it is out', async (t) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let calls = 0
  const { time, emitted, folding } = setUp(() => (++calls === 1 ? true : held.then(() => true)))
  folding.raise(opened('crm'))
  folding.raise(opened('crm'))
  folding.raise(opened('crm'))
  let ended = false
  const stopped = folding.stop().then(() => {
    ended = true
  })
  await settled()
  t.strictSame(
    emitted.map(({ count }) => count),
    [1, 2],
  )
  t.equal(ended, false)
  release()
  await stopped
  t.equal(time.pending, 0)
  folding.raise(opened('crm'))
  t.equal(emitted.length, 2, 'nothing more is taken')
})

t.test('what could not go out has another chance at the end of the window, and is counted', async (t) => {
  let works = false
  const { time, emitted, folding } = setUp(() => works)
  folding.raise(opened('crm', 1))
  await time.pass(5 * MINUTE)
  folding.raise(opened('crm', 2))
  works = true
  await time.pass(10 * MINUTE)
  t.strictSame(
    emitted.map(({ at, count }) => [at, count]),
    [
      [0, 1],
      [0, 1],
      [5, 2],
    ],
  )
  t.equal(time.pending, 0)
})

t.test('a first alert that fails while the relay stops is tried once more', async (t) => {
  let calls = 0
  const { emitted, folding } = setUp(async () => {
    await settled()
    return ++calls > 1
  })
  folding.raise(opened('crm'))
  await folding.stop()
  t.equal(emitted.length, 2)
})
