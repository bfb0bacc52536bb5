import t from 'tap'
import { createAlerts } from '../../src/alerts/alerts.ts'
import {
  reconcileFailing,
  reconcileRecovered,
  webhookRestored,
  webhookTrouble,
} from '../../src/alerts/provider-events.ts'
import { type Alert, sourceResumed, sourceSilent, targetClosed, targetOpened } from '../../src/alerts/relay-event.ts'
import type { WebhookProblem } from '../../src/outbox/reconciliation.ts'
import { HandSchedule } from './hand-schedule.ts'

const MINUTE = 60_000
const unhealthy = trouble('unhealthy')
const events = trouble('events')
const restored = webhookRestored('ultravox', 'https://relay.test/')

function trouble(kind: WebhookProblem['kind']): Alert {
  return webhookTrouble('ultravox', 'https://relay.test/', { kind, message: `It is wrong: ${kind}.` })
}

/** Alerts whose events are kept as a restart would find them; `works`: whether they can be recorded. */
function setUp(record: { event: string; facts: Record<string, unknown> }[] = []) {
  const time = new HandSchedule()
  const state = { works: true }
  const alerts = createAlerts({
    async record({ event, body }) {
      if (!state.works) throw new Error('disk full')
      record.push({ event, facts: JSON.parse(body.toString()) })
    },
    route: async () => [],
    newEventId: () => 'evt',
    clock: time.clock,
    schedule: time.schedule,
    log: { notRecorded: () => {}, unwatched: () => {} },
  })
  alerts.resume(record.slice())
  const said = () => record.map(({ event }) => event.replace(/^relay\./, ''))
  return { time, state, alerts, record, said }
}

t.test('of a webhook that flaps four times, the last alert says how it is', async (t) => {
  for (const isWellAtLast of [false, true]) {
    const { time, alerts, record, said } = setUp()
    for (let flaps = 0; flaps < 4; flaps += 1) {
      alerts.report([unhealthy], restored)
      await time.pass(MINUTE / 2)
      alerts.report([], restored)
      await time.pass(MINUTE / 2)
    }
    if (!isWellAtLast) alerts.report([unhealthy], restored)
    await time.pass(30 * MINUTE)
    t.equal(said().at(-1), isWellAtLast ? 'webhook.restored' : 'webhook.unhealthy')
    t.ok(said().length <= 4, said().join())
    t.equal(record[1]!.event, 'relay.webhook.restored', 'the first change back is told at once')
    await alerts.stop()
    t.equal(said().at(-1), isWellAtLast ? 'webhook.restored' : 'webhook.unhealthy')
  }
})

t.test('at any moment of any flapping, the last alert is true a window later', async (t) => {
  for (let pattern = 0; pattern < 256; pattern += 1) {
    const { time, alerts, said } = setUp()
    let isOpen = false
    for (let minute = 0; minute < 8; minute += 1) {
      const flips = ((pattern >> minute) & 1) === 1
      if (flips) {
        isOpen = !isOpen
        alerts.raise(isOpen ? targetOpened('crm', minute) : targetClosed('crm'))
      }
      await time.pass(MINUTE)
    }
    await time.pass(5 * MINUTE)
    const last = said().at(-1) ?? 'target.closed'
    if (last !== (isOpen ? 'target.opened' : 'target.closed')) t.fail(`pattern ${pattern}: ${said().join()}`)
    await alerts.stop()
  }
})

t.test('an alert that could not be recorded is not recorded later if it is not true any more', async (t) => {
  const { time, state, alerts, said } = setUp()
  state.works = false
  alerts.raise(targetOpened('crm', 0))
  await time.pass(MINUTE)
  state.works = true
  alerts.raise(targetClosed('crm'))
  await time.pass(20 * MINUTE)
  t.same(said(), ['target.closed'])
})

t.test('a crash while something is folded: what is true is said after the restart, once', async (t) => {
  const before = setUp()
  before.alerts.report([unhealthy], restored)
  before.alerts.report([], restored)
  before.alerts.report([unhealthy], restored)
  await before.time.pass(MINUTE)
  t.same(before.said(), ['webhook.unhealthy', 'webhook.restored'], 'the third is folded, and lost')

  const after = setUp(before.record)
  after.alerts.report([unhealthy], restored)
  after.alerts.report([unhealthy], restored)
  await after.time.pass(10 * MINUTE)
  t.same(after.said().slice(2), ['webhook.unhealthy'])

  const later = setUp(before.record)
  later.alerts.report([unhealthy], restored)
  await later.time.pass(10 * MINUTE)
  later.alerts.report([], restored)
  later.alerts.report([], restored)
  await later.time.pass(10 * MINUTE)
  t.same(later.said().slice(3), ['webhook.restored'])
})

t.test('what is said of one of two problems stays true when the other one goes', async (t) => {
  const { time, alerts, said } = setUp()
  alerts.report([events, unhealthy], restored)
  await time.pass(10 * MINUTE)
  alerts.report([events], restored)
  await time.pass(10 * MINUTE)
  alerts.report([events], restored)
  alerts.report([], restored)
  await time.pass(10 * MINUTE)
  t.same(said(), ['webhook.events_missing', 'webhook.unhealthy', 'webhook.events_missing', 'webhook.restored'])
})

t.test('where other endpoints fail than before, that is said', async (t) => {
  const part = (endpoint: string) => ({ endpoint, since: 0, at: 1, failures: 3, message: `${endpoint}: no` })
  const { time, alerts, record } = setUp()
  const look = async (...failing: string[]) => {
    alerts.report(
      failing.length === 0 ? [] : [reconcileFailing('ultravox', failing.map(part))],
      reconcileRecovered('ultravox'),
    )
    await time.pass(10 * MINUTE)
  }
  await look()
  await look('GET /api/calls', 'GET /api/deleted_calls')
  await look('GET /api/deleted_calls', 'GET /api/calls')
  await look('GET /api/deleted_calls')
  await look()
  t.match(record, [
    { event: 'relay.reconcile.failing', facts: { message: /api\/calls.*api\/deleted_calls/ } },
    { event: 'relay.reconcile.failing', facts: { reconcile: { endpoints: [{ endpoint: 'GET /api/deleted_calls' }] } } },
    { event: 'relay.reconcile.recovered' },
  ])
  t.equal(record.length, 3)
})

t.test('a silence from before a restart ends with the first event, and no other event says so', async (t) => {
  const before = setUp()
  before.alerts.raise(sourceSilent('ultravox', 1_000, null))
  await before.alerts.stop()
  const { alerts, said } = setUp(before.record)
  alerts.raise(sourceSilent('ultravox', 1_000, null))
  alerts.recovered(sourceResumed('other'))
  alerts.recovered(sourceResumed('ultravox'))
  alerts.recovered(sourceResumed('ultravox'))
  await alerts.stop()
  t.same(said(), ['source.silent', 'source.resumed'])
})

t.test('a problem of the webhook is said again when the configuration names another URL', async (t) => {
  const { time, alerts, record } = setUp()
  const missing = (url: string) => webhookTrouble('ultravox', url, { kind: 'missing', message: 'It is missing.' })
  for (const url of ['https://relay.test/', 'https://relay.test/', 'https://other.test/']) {
    alerts.report([missing(url)], webhookRestored('ultravox', url))
    await time.pass(10 * MINUTE)
  }
  t.match(record, [{ facts: { webhook: { url: /relay/ } } }, { facts: { webhook: { url: /other/ } } }])
  t.equal(record.length, 2)
  await alerts.stop()
})
