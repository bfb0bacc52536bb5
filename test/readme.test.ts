import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { loadConfig } from '../src/config/load.ts'
import { baseDelayMs, type RetryPolicy } from '../src/domain/backoff.ts'
import { openDatabase } from '../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../src/outbox/sqlite/sqlite-outbox.ts'
import { runRelay, startRelay, writeConfig } from './daemon/relay-process.ts'
import { eventually } from './eventually.ts'

const README = readFileSync('README.md', 'utf8')

function snippets(language: string): string[] {
  return [...README.matchAll(/^( *)```(\w+)\n([\s\S]*?)^ *```$/gm)]
    .filter(([, , name]) => name === language)
    .map(([, indent, , text]) => text!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
}

function elapsed(ms: number): string {
  const seconds = Math.round(ms / 1000)
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const
  const first = parts.findIndex(([value]) => value > 0)
  return parts
    .slice(first)
    .map(([value, unit]) => `${value}${unit}`)
    .join(' ')
}

t.test("the README's table of retries is what the default policy does", (t) => {
  const { config } = loadConfig('relay.example.yaml', process.env)
  const policy = config.targets.archive!.retry as RetryPolicy & { giveUpAfterMs: number }
  const offsets = [0]
  for (let attempt = 1; offsets.at(-1)! <= policy.giveUpAfterMs; attempt++) {
    offsets.push(offsets.at(-1)! + baseDelayMs(policy, attempt))
  }
  offsets.pop()
  for (let attempt = 2; attempt <= 12; attempt++) {
    t.match(README, `| ${attempt} | ${elapsed(offsets[attempt - 1]!)} |`)
  }
  t.match(README, `last: ${offsets.length} | ${elapsed(offsets.at(-1)!)} |`)
  t.end()
})

/** What a snippet of a single section goes with. */
const REST = `
sources: { ultravox: { scheme: ultravox, secrets: ["a-secret-long-enough"] } }
targets: { crm: { type: exec, command: [cat] } }
routes: [{ events: ["*"], to: [crm] }]
`

t.test('every configuration in the README loads', (t) => {
  const env = {
    ...process.env,
    ULTRAVOX_WEBHOOK_SECRET: 'a-secret-long-enough',
    ULTRAVOX_API_KEY: 'k',
    OTLP_TOKEN: 'o',
    CRM_TOKEN: 't',
    CRM_SECRET: 'another-secret-long-enough',
    SLACK_WEBHOOK_URL: 'https://hooks.slack.com/services/T/B/x',
  }
  const configs = snippets('yaml').map((yaml) => (yaml.includes('sources:') ? yaml : `${REST}${yaml}`))
  t.ok(configs.length > 0)
  for (const yaml of configs) {
    // Beside config/hooks, which it names.
    const file = `.readme-${process.pid}.yaml`
    writeFileSync(file, yaml)
    t.teardown(() => rmSync(file, { force: true }))
    t.same(loadConfig(file, env).warnings, [])
  }
  t.end()
})

t.test('every query in the README runs on the outbox', async (t) => {
  const path = join(t.testdir(), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  t.teardown(() => outbox.close())
  const database = openDatabase(path, { readonly: true })
  const queries = snippets('sql')
    .join('\n')
    .split(';')
    .filter((query) => query.trim() !== '')
  t.ok(queries.length >= 5)
  for (const query of queries) t.doesNotThrow(() => database.prepare(query).all(), query)
  database.close()
})

t.test('the README names no script or command that does not exist', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  for (const [, name] of README.matchAll(/npm (?:run )?(\w+)/g)) {
    if (!['ci', 'install', 'pack', 'root'].includes(name!)) t.ok(name! in scripts, `npm run ${name}`)
  }
  const { stdout } = await runRelay(['--help'], t.testdir())
  for (const [, name] of README.matchAll(
    /ultravox-relay (serve|init|check|reload|trigger|status|tail|config|events|calls|deliveries|rejections|targets|backup|prune|doctor|match|sign|verify|completion)\b/g,
  ))
    t.match(stdout, `  ${name}`)
})

t.test('the event that the README sends by hand is taken', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'relay-readme-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const example = parse(readFileSync('relay.example.yaml', 'utf8')) as Record<string, unknown>
  const config = writeConfig(directory, {
    sources: example.sources,
    targets: { sink: { type: 'exec', command: ['sh', '-c', 'cat > received.json'] } },
    routes: [{ events: ['*'], to: ['sink'] }],
  })
  t.ok(stringify(example).includes('whsec_example_do_not_use'))
  const relay = await startRelay(t, config)
  const script = snippets('sh').find((text) => text.includes('curl -i http://127.0.0.1:8080'))
  const answer = execFileSync('sh', ['-euc', script!.replace('http://127.0.0.1:8080', relay.origin)], { stdio: 'pipe' })
  t.match(answer.toString(), /^HTTP\/1\.1 204/)
  const received = () => {
    try {
      return readFileSync(join(directory, 'received.json'), 'utf8')
    } catch {
      return ''
    }
  }
  await eventually(() => received() !== '', 'delivered')
  t.equal(JSON.parse(received()).call.callId, 'my-first-call')
})
