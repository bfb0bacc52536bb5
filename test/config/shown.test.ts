import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { completed, load } from './relay-yaml.ts'

/** Every key that holds a secret, in the file itself and by reference. */
function secretive(mark: string): string {
  return `
server: { listen: "\${LISTEN:-127.0.0.1:9999}" }
sources: { a: { scheme: ultravox, secrets: [one-${mark}, "two-${mark}"] }, b: { scheme: none } }
targets:
  h:
    type: http
    url: "https://x.test/${mark}?key=${mark}"
    headers: { Authorization: "Bearer ${mark}", X-Other: "{{call.callId}} ${mark}" }
    sign: { scheme: standard-webhooks, secrets: ["whsec_${Buffer.from(`${mark}-and-enough-bytes-for-a-key`).toString('base64')}"] }
    proxy: "http://me:${mark}@proxy.test:3128"
    body: { routing_key: "${mark}-which-is-long-as-keys-are", text: "\${FALLBACK:-${mark}}", n: 1 }
  u: { type: http, url: "http+unix://%2Frun%2Fapp.sock/${mark}" }
  s: { type: slack, webhookUrl: "https://hooks.slack.com/services/${mark}", text: "a \${S}" }
  e: { type: exec, command: [sh, -c, "\${S}", "--token=${mark}${mark}"], env: { TOKEN: "${mark}" } }
routes: [{ events: ["*"], to: [h, u, s, e] }]
ultravox:
  apiKey: ${mark}
  baseUrl: "https://api.test/?key=${mark}"
  proxy: "http://me:${mark}@proxy.test:3128"
  webhook: { url: "https://relay.test/in?key=${mark}", source: a }
tracing: { otlp: "http://127.0.0.1:4318", headers: { Authorization: "Bearer ${mark}" } }
`
}

t.test('the configuration is shown with no secret in it', async (t) => {
  const mark = 'marked-secret'
  const shown = load(t, secretive(mark), { env: { S: mark } }).shown()
  for (const text of [JSON.stringify(shown), stringify(shown)]) {
    t.notMatch(text, mark)
    t.notMatch(text, Buffer.from(mark).toString('base64').slice(0, 12))
  }
  t.match(shown, {
    server: { listen: '127.0.0.1:9999' },
    sources: { a: { path: '/webhooks/a', account: 'default', secrets: ['[secret]', '[secret]'], tolerance: '60s' } },
    targets: {
      h: {
        url: 'https://x.test/[secret]',
        headers: { Authorization: '[secret]' },
        sign: { scheme: 'standard-webhooks', secrets: ['[secret]'] },
        proxy: 'http://[secret]@proxy.test:3128',
        body: { routing_key: '[secret]', text: '${FALLBACK:-…}', n: 1 },
        timeout: '10s',
      },
      u: { url: 'http+unix://%2Frun%2Fapp.sock/[secret]' },
      s: { webhookUrl: 'https://hooks.slack.com/[secret]', text: 'a ${S}', rateLimit: { max: 1, per: '1s' } },
      e: { command: ['sh', '-c', '${S}', '[secret]'], env: { TOKEN: '[secret]' } },
    },
    ultravox: {
      baseUrl: 'https://api.test/?[secret]',
      proxy: 'http://[secret]@proxy.test:3128',
      webhook: { url: 'https://relay.test/in?[secret]' },
    },
    retry: { initialDelay: '5s' },
  })
})

t.test('certificates and keys are not shown', async (t) => {
  const yaml = 'targets: { crm: { type: http, url: https://x/, tls: { ca: "${S}", cert: "${S}", key: "${S}" } } }'
  const directory = t.testdir({ 'relay.yaml': completed(yaml) })
  const shown = loadConfig(join(directory, 'relay.yaml'), { S: 'marked-secret' }, 'outbox').shown()
  t.match(shown, { targets: { crm: { tls: { ca: '[secret]', cert: '[secret]', key: '[secret]', insecure: false } } } })
  t.notMatch(JSON.stringify(shown), 'marked-secret')
})

t.test('what is shown has the form of the file: with its secrets put back, it loads and shows the same', async (t) => {
  const shown = load(t, 'targets: { crm: { type: slack, webhookUrl: "https://x.test/", ordered: call } }').shown()
  const again = load(t, stringify(shown).replaceAll('[secret]', 'a-secret-long-enough')).shown()
  t.same(parse(stringify(again)), parse(stringify(shown)))
})

t.test('the secrets of several accounts are hidden, and each source shows the account it belongs to', async (t) => {
  const shown = load(
    t,
    `
ultravox: [{ account: sales, apiKey: key-of-sales }, { account: two, apiKey: key-of-two }]
sources: { a: { scheme: ultravox, account: sales, secrets: [source-secret] }, b: { scheme: none } }
`,
  ).shown()
  t.notMatch(JSON.stringify(shown), /key-of/)
  t.match(shown, {
    ultravox: [{ account: 'sales', apiKey: '[secret]' }, { account: 'two' }],
    sources: { a: { account: 'sales' } },
  })
  t.notMatch(shown, { sources: { b: { account: /./ } } })
})
