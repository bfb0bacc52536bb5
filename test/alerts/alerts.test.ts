import t from 'tap'
import { createAlerts } from '../../src/alerts/alerts.ts'
import { laneAlerts } from '../../src/alerts/lane-alerts.ts'
import { type Alert, targetClosed, targetOpened } from '../../src/alerts/relay-event.ts'
import type { Attempt, Settlement } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import { bodyHash, type NewEvent, parsePayload } from '../../src/domain/event.ts'
import { compileRoute, routeEvent } from '../../src/domain/routing.ts'
import { sampleDelivery } from '../targets/sample-delivery.ts'
import { HandSchedule, settled } from './hand-schedule.ts'

const attempt: Attempt = {
  attempt: 1,
  startedAt: 1_000,
  durationMs: 5,
  outcome: 'refused',
  status: 410,
  error: 'http 410',
  response: null,
  note: null,
}

function setUp(record: () => Promise<unknown> = async () => {}) {
  const time = new HandSchedule()
  const recorded: { event: NewEvent; targets: readonly string[] }[] = []
  const told: string[] = []
  const routes = [
    { events: ['relay.target.*'], when: null, to: ['ops'] },
    { events: ['relay.*'], when: 'target.name = "crm"', to: ['pager'] },
    { events: ['call.*'], when: null, to: ['crm'] },
  ].map((route) => compileRoute(route))
  const alerts = createAlerts({
    async record(event, targets) {
      recorded.push({ event, targets })
      await record()
    },
    route: (payload, source) => routeEvent(routes, payload, source, () => {}),
    newEventId: () => `evt_${recorded.length}`,
    clock: time.clock,
    schedule: time.schedule,
    log: {
      notRecorded: (event, error) => told.push(`${event}: ${(error as Error).message}`),
      unwatched: () => {},
    },
  })
  return { time, recorded, told, alerts }
}

t.test('an alert becomes an ordinary event of the source relay, routed by its name and its payload', async (t) => {
  const { time, recorded, alerts } = setUp()
  alerts.raise(targetClosed('crm'))
  await alerts.stop()
  t.equal(recorded.length, 1)
  const { event, targets } = recorded[0]!
  t.same(targets, ['ops', 'pager'])
  t.match(event, {
    eventId: 'evt_0',
    source: 'relay',
    event: 'relay.target.closed',
    callId: null,
    receivedAt: time.clock.now(),
    origin: 'relay',
    contentType: 'application/json',
  })
  t.match(parsePayload(event.body), { payload: { event: 'relay.target.closed', count: 1, target: { name: 'crm' } } })
})

t.test('what is raised again later has another body, and so is another event', async (t) => {
  const { time, recorded, alerts } = setUp()
  alerts.raise(targetClosed('crm'))
  await time.pass(5 * 60_000)
  alerts.raise(targetClosed('crm'))
  await alerts.stop()
  t.equal(new Set(recorded.map(({ event }) => bodyHash(event.body))).size, 2)
})

t.test('an alert that cannot be recorded throws nothing, is logged, and is recorded later', async (t) => {
  let full = true
  const { time, recorded, told, alerts } = setUp(async () => {
    if (full) throw new RelayError('outbox_unavailable', 'disk full')
  })
  t.doesNotThrow(() => alerts.raise(targetClosed('crm')))
  await settled()
  t.same(told, ['relay.target.closed: disk full'])
  full = false
  await time.pass(5 * 60_000)
  t.equal(recorded.length, 2)
  t.equal(told.length, 1)
  await alerts.stop()
  t.equal(recorded.length, 2)
})

function heard(source: string, settlements: readonly Settlement[]): Alert[] {
  const raised: Alert[] = []
  const lanes = laneAlerts((alert) => raised.push(alert))
  const delivery = sampleDelivery()
  for (const settlement of settlements) {
    lanes.attempted({ ...delivery, event: { ...delivery.event, source } }, attempt, settlement)
  }
  return raised
}

t.test('only the death of a delivery is told, not each of its attempts', async (t) => {
  t.same(heard('ultravox', [{ state: 'delivered' }, { state: 'pending', dueAt: 9 }]), [])
  t.match(heard('ultravox', [{ state: 'dead' }]), [{ event: 'relay.delivery.dead' }])
  t.match(heard('ultravox', [{ state: 'dead', hold: true }]), [{ event: 'relay.delivery.dead' }])
})

t.test("the death of a delivery of the relay's own event is not told", async (t) => {
  t.same(heard('relay', [{ state: 'dead' }, { state: 'dead', hold: true }]), [])
})

t.test('a breaker that opens or closes is told', async (t) => {
  const raised: Alert[] = []
  const lanes = laneAlerts((alert) => raised.push(alert))
  lanes.opened('crm', 1_000)
  lanes.closed('crm')
  t.same(raised, [targetOpened('crm', 1_000), targetClosed('crm')])
})
