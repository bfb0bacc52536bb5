import t from 'tap'
import { EXAMPLE_SECRET } from '../../src/config/example-secret.ts'
import { formatProblem } from '../../src/config/problem.ts'
import { REFUSALS } from './refusals/refusals.ts'
import { load, problemsOf } from './relay-yaml.ts'

const MARK = 'marked-secret'

t.test('no message quotes a secret that stands in the file', async (t) => {
  for (const { yaml, ...beside } of Object.values(REFUSALS)) {
    const told = problemsOf(t, yaml.replace('▸', ''), beside).map(formatProblem).join('\n')
    t.notMatch(told, MARK)
    t.notMatch(told, EXAMPLE_SECRET)
  }
})

t.test('no message quotes what a reference stands for, wherever it is used', async (t) => {
  const yaml = `
server: { listen: "\${S}", trustProxy: ["\${S}"], bodyLimit: "\${S}", rateLimit: { maxRefused: "\${S}" } }
sources:
  a: { scheme: "\${S}", path: "\${S}", secrets: ["\${S}"] }
  b: { scheme: ultravox, path: "\${S}", secrets: ["\${S}\${S}\${S}\${S}\${S}\${S}\${S}\${S}\${S}\${S}"], tolerance: "\${S}" }
targets:
  a: { type: "\${S}" }
  b: { type: http, url: "\${S}", method: "\${S}", headers: { a: "\${S}\\n" }, retryOn: ["\${S}"] }
  c: { type: http, url: "https://\${S}:\${S}@x/", sign: { scheme: standard-webhooks, secrets: ["\${S}"] } }
  d: { type: slack, webhookUrl: "\${S}", text: "{{ \${S} ) }}", blocks: [{ type: "{{ \${S} ) }}" }] }
  e: { type: exec, command: ["\${S}"], passEnv: ["\${S}"] }
  f: { type: exec, command: ["./\${S}"], retry: { factor: "\${S}" }, user: "\${S} ", group: "\${S}/" }
  g: { type: http, url: "http+unix://\${S}/", proxy: "\${S}", redact: ["\${S} "], socketPath: "\${S}", body: "{{ \${S} ) }}" }
  h: { type: http, url: "https://x/", tls: { ca: "\${S}", cert: "\${S}", key: "\${S}", servername: "\${S} ", insecure: "\${S}" } }
  i: { type: http, url: "https://x/", headers: { a: "{{ \${S} ) }}" }, body: [{ a: "{{ \${S} ) }}" }], allowLinkLocal: "\${S}" }
routes:
  - { events: ["\${S} x", call.endd], when: "\${S} )", to: ["\${S}"] }
`
  const problems = problemsOf(t, yaml, { env: { S: MARK } })
  t.ok(problems.length > 20, `${problems.length} problems`)
  t.notMatch(problems.map(formatProblem).join('\n'), MARK)
})

t.test('no message quotes a secret from a file that is no valid YAML', async (t) => {
  for (const line of [
    `"a" ${MARK}`,
    `] ${MARK}`,
    `[a ${MARK}: "`,
    `!${MARK} x`,
    `*${MARK}`,
    `"\\q${MARK}"`,
    `%${MARK}`,
  ]) {
    const problems = problemsOf(t, `sources:\n  a: { scheme: ultravox }\n  b: ${line}\n`)
    t.ok(problems.length > 0, line)
    t.notMatch(problems.map(formatProblem).join('\n'), MARK)
  }
})

t.test('a loaded configuration shows no secret when it is printed', async (t) => {
  const yaml = `
targets:
  crm:
    type: http
    url: https://x/\${S}
    headers: { Authorization: "Bearer \${S}" }
    sign: { scheme: ultravox, secrets: ["\${S}"] }
    proxy: "http://me:\${S}@proxy:3128"
  ops: { type: slack, webhookUrl: "https://x/\${S}" }
  run: { type: exec, command: [sh], env: { TOKEN: "\${S}" } }
routes: [{ events: ["*"], to: [crm, ops, run] }]
`
  t.notMatch(JSON.stringify(load(t, yaml, { env: { S: MARK } })), MARK)
})
