import t from 'tap'
import type { Readings } from '../../src/admin/gauges.ts'
import { Metrics } from '../../src/admin/metrics.ts'
import type { ListedTarget } from '../../src/documents/targets.ts'
import type { Attempt, Delivery } from '../../src/domain/delivery.ts'
import { parseExposition } from './exposition.ts'

const target: ListedTarget = {
  target: 'crm',
  type: 'http',
  configured: true,
  pausedByConfig: false,
  pausedByCommand: false,
  breaker: null,
  throttle: null,
  pending: 98,
  due: 3,
  backoff: 1,
  waiting: 4,
  held: 90,
  heldCalls: 3,
  oldestHeldAt: 2_000,
  retrying: 2,
  dead: 1,
  oldestDueAt: 4_000,
  deliveredPerMinute: 0,
  lastError: null,
  timedOut: 0,
  lastProbe: null,
}
const readings: Readings = {
  at: 10_000,
  targets: [target],
  createdAt: 1_500,
  bytes: 1,
  walBytes: 2,
  freeBytes: 3,
  reserveBytes: 4,
}
const expected = { sources: ['ultravox'], targets: ['crm'], reconciled: ['ultravox'] }
const delivery = { target: 'crm', round: 1, event: { receivedAt: 1_000 } } as Delivery
const attempt: Attempt = {
  attempt: 1,
  startedAt: 2_500,
  durationMs: 500,
  outcome: 'delivered',
  status: 200,
  error: null,
  response: null,
  note: null,
}

function metrics() {
  const all = new Metrics()
  all.counts.expect(expected)
  return {
    counts: all.counts,
    read: async (given = {}) => parseExposition(await all.expose({ ...readings, ...given })),
  }
}

t.test('what may happen is there from the start, at zero', async (t) => {
  const { value } = await metrics().read()
  t.equal(value('ultravox_relay_events_recorded_total', { source: 'ultravox', origin: 'webhook' }), 0)
  t.equal(value('ultravox_relay_events_recorded_total', { source: 'ultravox', origin: 'reconcile' }), 0)
  t.equal(value('ultravox_relay_events_duplicate_total', { source: 'ultravox' }), 0)
  t.equal(value('ultravox_relay_attempts_total', { target: 'crm', outcome: 'refused' }), 0)
  t.equal(value('ultravox_relay_delivery_latency_seconds_count', { target: 'crm' }), 0)
  t.equal(value('ultravox_relay_reconcile_runs_total', { source: 'ultravox', result: 'failed' }), 0)
})

t.test('the latency is that from the receipt, in seconds, of deliveries that nobody has had tried anew', async (t) => {
  const { counts, read } = metrics()
  counts.attempted(delivery, attempt)
  counts.attempted({ ...delivery, round: 2 }, attempt)
  counts.attempted(delivery, { ...attempt, outcome: 'failed' })
  const { value } = await read()
  t.equal(value('ultravox_relay_attempts_total', { target: 'crm', outcome: 'delivered' }), 2)
  t.equal(value('ultravox_relay_attempts_total', { target: 'crm', outcome: 'failed' }), 1)
  t.equal(value('ultravox_relay_delivery_latency_seconds_count', { target: 'crm' }), 1)
  t.equal(value('ultravox_relay_delivery_latency_seconds_sum', { target: 'crm' }), 2)
})

t.test('no name that the configuration does not have becomes a label', async (t) => {
  const { counts, read } = metrics()
  counts.recorded({ source: 'hostile"\n', origin: 'webhook' }, false)
  counts.attempted({ ...delivery, target: 'gone' }, attempt)
  const { samples, value } = await read({ targets: [target, { ...target, target: 'orphan', configured: false }] })
  const values = new Set(samples.flatMap(({ labels }) => [labels.source, labels.target]))
  t.same([...values].filter((each) => each !== undefined).sort(), ['', 'crm', 'relay', 'ultravox'])
  t.equal(value('ultravox_relay_deliveries_orphaned'), 98, 'orphans are counted together')
})

t.test('certificates are shown with their ends, and of one that is gone nothing more', async (t) => {
  const { read } = metrics()
  const facts = {
    subject: '',
    issuer: '',
    names: [],
    notBefore: 1_000,
    notAfter: 2_000,
    fingerprint: '',
    selfSigned: false,
  }
  const certificates = {
    served: facts,
    reloadFailed: true,
    clients: [{ target: 'crm', facts: { ...facts, notAfter: 3_000 } }],
  }
  const { value } = await read({ certificates })
  t.equal(value('ultravox_relay_certificate_not_before_timestamp_seconds'), 1)
  t.equal(value('ultravox_relay_certificate_not_after_timestamp_seconds'), 2)
  t.equal(value('ultravox_relay_certificate_reload_failed'), 1)
  t.equal(value('ultravox_relay_client_certificate_not_after_timestamp_seconds', { target: 'crm' }), 3)
  const plain = await read({ certificates: { served: null, reloadFailed: false, clients: [] } })
  const left = plain.samples.filter(({ name }) => name.includes('certificate_'))
  t.same(left, [], 'an alert rule must not see the year 1970')
})

t.test('how things are is told in base units, and of what is gone nothing more', async (t) => {
  const { read } = metrics()
  const { value } = await read()
  t.equal(value('ultravox_relay_deliveries_due', { target: 'crm' }), 3)
  t.equal(value('ultravox_relay_oldest_due_age_seconds', { target: 'crm' }), 6)
  t.equal(value('ultravox_relay_deliveries_backoff', { target: 'crm' }), 1)
  t.equal(value('ultravox_relay_deliveries_waiting', { target: 'crm' }), 4)
  t.equal(value('ultravox_relay_deliveries_held', { target: 'crm' }), 90)
  t.equal(value('ultravox_relay_oldest_held_age_seconds', { target: 'crm' }), 8)
  t.equal(value('ultravox_relay_target_breaker_open', { target: 'crm' }), 0)
  t.equal(value('ultravox_relay_outbox_up'), 1)
  t.equal(value('ultravox_relay_disk_free_bytes'), 3)
  const open = {
    ...target,
    target: 'new',
    breaker: { probeAt: 1, cooldownMs: 1 },
    pausedByConfig: true,
    oldestDueAt: null,
  }
  const later = await read({ targets: [open] })
  t.equal(later.value('ultravox_relay_deliveries_due', { target: 'crm' }), undefined)
  t.equal(later.value('ultravox_relay_target_breaker_open', { target: 'new' }), 1)
  t.equal(later.value('ultravox_relay_target_paused', { target: 'new' }), 1)
  t.equal(later.value('ultravox_relay_oldest_due_age_seconds', { target: 'new' }), 0)
  const blind = await read({ targets: null })
  t.equal(blind.value('ultravox_relay_outbox_up'), 0)
  t.equal(blind.value('ultravox_relay_deliveries_due', { target: 'new' }), undefined)
  t.equal(blind.value('ultravox_relay_deliveries_orphaned'), undefined)
})

t.test('names and units are by the conventions of Prometheus', async (t) => {
  const { families } = await metrics().read()
  for (const [name, type] of families) {
    t.match(name, /^ultravox_relay_[a-z_]+$/)
    t.equal(name.endsWith('_total'), type === 'counter', name)
    t.notMatch(name, /_(ms|milliseconds|kb|mb)(_|$)/)
  }
})
