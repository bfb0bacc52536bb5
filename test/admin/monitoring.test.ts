import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { Metrics } from '../../src/admin/metrics.ts'
import { parseExposition } from './exposition.ts'

/** The tests run from `build/test/admin`. */
const CONFIG = fileURLToPath(new URL('../../../config/', import.meta.url))
const RULES = `${CONFIG}prometheus-rules.yaml`
const readings = { at: 0, targets: [], createdAt: 0, bytes: 0, walBytes: 0, freeBytes: 0, reserveBytes: 0 }
const hasPromtool = spawnSync('promtool', ['--version']).status === 0
/** In Debian it comes with the package prometheus. */
const withPromtool = { skip: !hasPromtool && 'promtool is not installed' }

interface Rules {
  readonly groups: { readonly rules: { readonly alert: string; readonly expr: string }[] }[]
}

interface Dashboard {
  readonly panels: { readonly id: number; readonly title: string; readonly targets?: { readonly expr: string }[] }[]
  readonly templating: { readonly list: { readonly query: unknown }[] }
}

const rules = (parse(readFileSync(RULES, 'utf8')) as Rules).groups.flatMap((group) => group.rules)
const dashboard = JSON.parse(readFileSync(`${CONFIG}grafana-dashboard.json`, 'utf8')) as Dashboard

async function known() {
  const metrics = new Metrics()
  metrics.counts.expect({ sources: ['ultravox'], targets: ['crm'], reconciled: ['ultravox'] })
  metrics.watchProcess()
  const text = await metrics.expose(readings)
  return { text, families: parseExposition(text).families }
}

/** The families that an expression asks for; a histogram's by its own name. */
function familiesIn(expression: string): string[] {
  const names = expression.match(/\b(ultravox_relay|nodejs|process)_[a-z0-9_]+/g) ?? []
  return names.map((name) => name.replace(/_(bucket|sum|count)$/, ''))
}

t.test('every metric that the alert rules and the dashboard name exists', async (t) => {
  const { families } = await known()
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.map(({ query }) => JSON.stringify(query)),
  ]
  const asked = expressions.flatMap(familiesIn)
  t.same(
    asked.filter((name) => !families.has(name)),
    [],
  )
  const own = [...families.keys()].filter((name) => name.startsWith('ultravox_relay_'))
  const unused = own.filter((name) => !asked.includes(name))
  t.same(unused, ['ultravox_relay_deliveries_orphaned'], 'and there is hardly one that they do not')
})

t.test('every panel and every rule asks for something', async (t) => {
  for (const { alert, expr } of rules) t.ok(familiesIn(expr).length > 0, alert)
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length)
  for (const { title, targets } of dashboard.panels) {
    for (const { expr } of targets ?? []) t.ok(familiesIn(expr).length > 0, title)
  }
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
})

interface RuleCase {
  /** Sets of series, by their values a minute apart, with which the alert fires once; each is tried by itself. */
  readonly fires: readonly Series[]
  /** Sets with which it does not. */
  readonly quiet: readonly Series[]
}

type Series = Readonly<Record<string, string>>

const AT = '19m'
const refused = (reason: string) => `requests_refused_total{source="ultravox",reason="${reason}"}`
const runs = (result: string) => `reconcile_runs_total{source="ultravox",result="${result}"}`
const bucket = (le: string) => `outbox_commit_duration_seconds_bucket{le="${le}"}`
const handshake = (reason: string) => `tls_handshakes_failed_total{reason="${reason}"}`
/** The first increment of a counter that was there before. */
const FIRST = '0x10 1x20'
const DAY = 86_400

/** A certificate that is valid for 90 days, with this many left at the beginning. */
function certificate(prefix: string, daysLeft: number, labels = ''): Series {
  const [before, after] = [(daysLeft - 90) * DAY, daysLeft * DAY]
  const name = (end: string) => `${prefix}_not_${end}_timestamp_seconds${labels}`
  return { [name('before')]: `${before}x30`, [name('after')]: `${after}x30` }
}

const RULE_CASES: Readonly<Record<string, RuleCase>> = {
  UltravoxRelayNotScraped: { fires: [{ build_info: '_x30' }], quiet: [{}] },
  UltravoxRelayOutboxUnreadable: { fires: [{ outbox_up: '0x30' }], quiet: [{ outbox_up: '1x30' }] },
  UltravoxRelayDiskLow: {
    fires: [{ disk_free_bytes: '99x30', disk_reserve_bytes: '100x30' }],
    quiet: [{ disk_free_bytes: '100x30', disk_reserve_bytes: '100x30' }],
  },
  UltravoxRelayDeliveriesDead: {
    fires: [{ 'deliveries_dead{target="crm"}': '0x15 1x20' }, { 'deliveries_dead{target="crm"}': '7x15 8x20' }],
    quiet: [{ 'deliveries_dead{target="crm"}': '7x30' }, { 'deliveries_dead{target="crm"}': '7x15 0x20' }],
  },
  UltravoxRelayBacklogOld: {
    fires: [{ 'oldest_due_age_seconds{target="crm"}': '901x30' }],
    quiet: [{ 'oldest_due_age_seconds{target="crm"}': '900x30' }],
  },
  UltravoxRelayCallsHeld: {
    fires: [{ 'oldest_held_age_seconds{target="crm"}': '901x30' }],
    quiet: [{ 'oldest_held_age_seconds{target="crm"}': '900x30' }],
  },
  UltravoxRelayTargetFailing: {
    fires: [{ 'target_breaker_open{target="crm"}': '1x30' }],
    quiet: [{ 'target_breaker_open{target="crm"}': '0x30' }, { 'target_breaker_open{target="crm"}': '0x15 1x20' }],
  },
  UltravoxRelayRefusesSigned: {
    fires: ['timestamp_stale', 'outbox_unavailable', 'overloaded'].map((reason) => ({ [refused(reason)]: FIRST })),
    quiet: [{ [refused('timestamp_stale')]: '5x30' }, { [refused('not_found')]: FIRST }],
  },
  UltravoxRelaySignatureMismatch: {
    fires: [{ [refused('signature_mismatch')]: '0x10 7x20' }],
    quiet: [{ [refused('signature_mismatch')]: '0x10 4x20' }, { [refused('signature_mismatch')]: '70x30' }],
  },
  UltravoxRelayCommitSlow: {
    fires: [{ [bucket('1')]: '0x30', [bucket('2.5')]: '0+60x30', [bucket('+Inf')]: '0+60x30' }],
    quiet: [{ [bucket('1')]: '0+60x30', [bucket('2.5')]: '0+60x30', [bucket('+Inf')]: '0+60x30' }],
  },
  UltravoxRelayEventsLost: {
    fires: [{ 'reconcile_gaps_total{source="ultravox"}': FIRST }],
    quiet: [{ 'reconcile_gaps_total{source="ultravox"}': '5x30' }],
  },
  UltravoxRelayCallsUnreadable: {
    fires: [{ 'reconcile_unreadable_calls{source="ultravox"}': '1x30' }],
    quiet: [{ 'reconcile_unreadable_calls{source="ultravox"}': '0x30' }],
  },
  UltravoxRelayReconcileFailing: {
    fires: [
      { [runs('failed')]: FIRST, [runs('completed')]: '0x30' },
      { [runs('failed')]: '2+1x30', [runs('completed')]: '9x30' },
    ],
    quiet: [
      { [runs('failed')]: FIRST, [runs('completed')]: '0x5 1x30' },
      { [runs('failed')]: '9x30', [runs('completed')]: '0x30' },
    ],
  },
  UltravoxRelayCertificateExpiring: {
    fires: [certificate('certificate', 17)],
    quiet: [certificate('certificate', 19)],
  },
  UltravoxRelayCertificateNotLoaded: {
    fires: [{ certificate_reload_failed: '1x30' }],
    quiet: [{ certificate_reload_failed: '0x30' }],
  },
  UltravoxRelayClientCertificateExpiring: {
    fires: [certificate('client_certificate', 17, '{target="crm"}')],
    quiet: [certificate('client_certificate', 19, '{target="crm"}')],
  },
  UltravoxRelayHandshakesFail: {
    fires: ['unknown_ca', 'certificate_expired', 'certificate_rejected'].map((reason) => ({
      [handshake(reason)]: FIRST,
    })),
    quiet: [{ [handshake('other')]: FIRST }, { [handshake('unknown_ca')]: '3x30' }],
  },
  UltravoxRelayLogLinesDropped: {
    fires: [{ log_lines_dropped_total: FIRST }],
    quiet: [{ log_lines_dropped_total: '3x30' }],
  },
  UltravoxRelayOutboxReplaced: {
    fires: [{ outbox_created_timestamp_seconds: '100x10 200x20' }],
    quiet: [{ outbox_created_timestamp_seconds: '100x30' }],
  },
}

t.test('every shipped rule has cases in which it fires, and in which it does not', async (t) => {
  t.strictSame(Object.keys(RULE_CASES).sort(), rules.map(({ alert }) => alert).sort())
})

t.test('each rule fires when it should, at the first increment, and alone', withPromtool, async (t) => {
  const tests = Object.entries(RULE_CASES).flatMap(([alert, { fires, quiet }]) => [
    ...fires.map((series) => ruleTest(series, [{ labels: `{alertname="${alert}"}`, value: 1 }])),
    ...quiet.map((series) => ruleTest(series, [])),
  ])
  const directory = t.testdir({
    'rules.test.json': JSON.stringify({ rule_files: [RULES], evaluation_interval: '1m', tests }),
  })
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', `${directory}/rules.test.json`])
  t.equal(status, 0, `${stdout}${stderr}`)
})

function ruleTest(series: Series, firing: readonly object[]) {
  const all: Series = { build_info: '1x30', ...series }
  return {
    interval: '1m',
    input_series: Object.entries(all).map(([name, values]) => ({ series: `ultravox_relay_${name}`, values })),
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: AT,
        exp_samples: firing,
      },
    ],
  }
}

t.test('promtool finds nothing wrong', withPromtool, async (t) => {
  const { text } = await known()
  t.equal(spawnSync('promtool', ['check', 'metrics'], { input: text }).status, 0)
  t.match(execFileSync('promtool', ['check', 'rules', RULES]).toString(), 'SUCCESS')
})
