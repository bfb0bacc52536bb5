import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { ConfigError } from '../../src/config/problem.ts'
import { compileRoute } from '../../src/domain/routing.ts'
import { completed } from './relay-yaml.ts'

/** Loads a relay.yaml with this text, completed, as a user would who has nothing of the relay's environment. */
function load(t: Test, yaml: string, purpose: 'daemon' | 'outbox' = 'outbox') {
  const directory = t.testdir({ 'relay.yaml': completed(yaml) })
  return loadConfig(join(directory, 'relay.yaml'), { PATH: process.env.PATH }, purpose)
}

function problemsOf(t: Test, yaml: string, purpose?: 'daemon') {
  try {
    load(t, yaml, purpose)
    return []
  } catch (error) {
    return (error as ConfigError).problems.map(({ path }) => path)
  }
}

const DAEMONS_OWN = `
server: { listen: "\${LISTEN}", bodyLimit: "\${LIMIT}", trustProxy: ["\${PROXY}"] }
sources:
  a: { scheme: ultravox, secrets: ["\${S}", "\${file:/nowhere/s}", "\${credential:s}"], tolerance: "\${S}", path: "\${P}" }
targets:
  b: { type: http, url: "\${S}", headers: { Authorization: "Bearer \${S}" }, proxy: "http://a:\${S}@proxy:1" }
  c:
    type: http
    url: https://\${HOST}/
    sign: { scheme: standard-webhooks, secrets: ["\${S}"] }
    tls: { ca: no-such.pem, cert: no-such.pem, key: "\${credential:key}" }
    retry: { initialDelay: "\${S}", maxDelay: 1s }
    concurrency: "\${N}"
  d: { type: slack, webhookUrl: "\${S}", text: "\${S} {{call.callId}}" }
  e: { type: exec, command: [./no-such-program, "\${S}"], env: { S: "\${S}" }, user: nobody-of-this-name }
routes: [{ events: ["*"], when: call.endReason = 'hangup', to: [b, c, d, e] }]
`

t.test('for the outbox’s commands, what only the daemon needs may be missing', async (t) => {
  t.ok(problemsOf(t, DAEMONS_OWN, 'daemon').length > 15)
  const { config, warnings, missing } = load(t, DAEMONS_OWN)
  t.same(warnings, [])
  t.match(
    missing.map(({ path }) => path),
    ['server.listen', 'server.bodyLimit'],
  )
  t.same(Object.keys(config.targets), ['b', 'c', 'd', 'e'])
  t.equal(config.targets.c!.concurrency, 8, 'the default where no text can stand in')
  t.equal(await compileRoute(config.routes[0]!).when!({ event: 'x', call: { endReason: 'hangup' } }), true)
})

t.test('a secret that is missing cannot be used, and shows as one that is there', async (t) => {
  const { config } = load(t, DAEMONS_OWN)
  const { a } = config.sources
  const { b, d } = config.targets
  if (a?.scheme !== 'ultravox' || b?.type !== 'http' || d?.type !== 'slack') return t.fail('of this kind')
  t.equal(a.secrets.length, 3)
  for (const secret of [...a.secrets, b.url, b.headers.Authorization!, b.proxy!, d.webhookUrl]) {
    t.equal(secret.isMissing, true)
    t.throws(() => secret.reveal(), { code: 'config_invalid' })
    t.equal(`${secret}`, '[secret]')
  }
})

t.test('what the commands go by has to be there', (t) => {
  const needed = [
    ['outbox: { path: "${DATA}/relay.db" }', 'outbox.path'],
    ['routes: [{ events: ["*"], when: "${WHEN}", to: [crm] }]', 'routes[0].when'],
    ['targets: { crm: { type: "${TYPE}" } }', 'targets.crm.type'],
    ['targets: { crm: { type: http, url: https://x/, paused: "${PAUSED}" } }', 'targets.crm.paused'],
  ]
  for (const [yaml, path] of needed) t.same(problemsOf(t, yaml!), [path])
  t.end()
})

t.test('all that stands in the file itself is checked as ever', (t) => {
  const wrong = [
    ['server: { listen: 8080 }', 'server.listen'],
    ['sources: { a: { scheme: ultravox, secrets: [] } }', 'sources.a.secrets'],
    ['targets: { crm: { type: http, url: https://x/, urll: "${S}" } }', 'targets.crm.urll'],
    ['targets: { crm: { type: http, url: https://x/, tls: { cert: a.pem } } }', 'targets.crm.tls.cert'],
    ['routes: [{ events: ["*"], when: "a )", to: [crm] }]', 'routes[0].when'],
  ]
  for (const [yaml, path] of wrong) t.same(problemsOf(t, yaml!), [path])
  t.end()
})

t.test('what nothing can stand in for is told as it is to the daemon', (t) => {
  t.same(problemsOf(t, 'sources: { a: { scheme: "${SCHEME}", secrets: [s-long-enough-secret] } }'), [
    'sources.a.scheme',
  ])
  t.end()
})
