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

t.test('promtool finds nothing wrong', { skip: !hasPromtool && 'promtool is not installed' }, async (t) => {
  const { text } = await known()
  t.equal(spawnSync('promtool', ['check', 'metrics'], { input: text }).status, 0)
  t.match(execFileSync('promtool', ['check', 'rules', RULES]).toString(), 'SUCCESS')
})
