import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Secret } from '../../src/domain/secret.ts'
import { ENCRYPTED_KEY, SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { type Beside, completed, load } from './relay-yaml.ts'

function crm(t: Test, rest: string, beside: Beside = {}) {
  const { config, warnings } = load(t, `targets:\n  crm: { type: http, ${rest} }\n`, beside)
  t.strictSame(warnings, [])
  const { crm } = config.targets
  if (crm?.type !== 'http') throw new Error('wrong kind')
  return crm
}

const reveal = (secret: Secret | null | undefined) => secret?.reveal()

t.test('certificates and keys are read from files beside the configuration', async (t) => {
  const files = { 'ca.pem': SELF_SIGNED_CRM.cert, certs: { 'c.pem': SELF_SIGNED.cert, 'k.pem': SELF_SIGNED.key } }
  const { tls } = crm(
    t,
    'url: "https://x/", tls: { ca: ca.pem, cert: certs/c.pem, key: ./certs/k.pem, servername: crm.internal }',
    { files: files as unknown as Record<string, string> },
  )
  t.strictSame([tls?.ca, tls?.cert, tls?.key].map(reveal), [SELF_SIGNED_CRM.cert, SELF_SIGNED.cert, SELF_SIGNED.key])
  t.match(tls, { servername: 'crm.internal', insecure: false })
  t.notMatch(JSON.stringify(tls), 'BEGIN')
})

t.test('they may come from references, and a file may hold several', async (t) => {
  const files = {
    'k.pem': `${SELF_SIGNED.cert}${SELF_SIGNED.key}`,
    'bundle.pem': SELF_SIGNED_CRM.cert + SELF_SIGNED.cert,
  }
  const tls = 'tls: { ca: bundle.pem, cert: "${file:k.pem}", key: "${K}" }'
  const made = crm(t, `url: "https://x/", ${tls}`, { files, env: { K: SELF_SIGNED.key } })
  t.match(made.tls?.ca?.reveal(), /(BEGIN CERTIFICATE.*){2}/s)
  t.equal(reveal(made.tls?.key), SELF_SIGNED.key)
})

t.test('a bundle with one broken certificate in it is not taken', async (t) => {
  const files = { 'b.pem': `${SELF_SIGNED.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` }
  t.throws(() => crm(t, 'url: "https://x/", tls: { ca: b.pem }', { files }), /no sound certificate/)
  t.throws(() => crm(t, 'url: "https://x/", tls: { ca: b.pem }', { files: { 'b.pem': ENCRYPTED_KEY } }), /no sound/)
})

t.test('a unix socket is told by a path, relative to the file, or in the url', async (t) => {
  // tap's own directories have names that are too long for a socket.
  const directory = mkdtempSync(join(tmpdir(), 'relay-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const yaml = 'targets:\n  crm: { type: http, url: "http://crm.internal/calls?a=1", socketPath: run/x.sock }\n'
  writeFileSync(join(directory, 'relay.yaml'), completed(yaml))
  const { config } = loadConfig(join(directory, 'relay.yaml'), {})
  t.match(config.targets.crm, { socketPath: join(directory, 'run/x.sock') })
  for (const [written, url] of [
    ['http+unix://%2Frun%2Fx.sock/calls?a=1', 'http://localhost/calls?a=1'],
    ['HTTP+unix://%2frun%2fx.sock', 'http://localhost'],
  ]) {
    const inside = crm(t, `url: "${written}"`)
    t.equal(inside.socketPath, '/run/x.sock')
    t.equal(inside.url.reveal(), url)
  }
})

t.test('a proxy is a secret', async (t) => {
  const { proxy } = crm(t, 'url: "https://x/", proxy: "http://me:${P}@proxy.internal:3128"', { env: { P: 'p%40ss' } })
  t.equal(reveal(proxy), 'http://me:p%40ss@proxy.internal:3128')
})

t.test('a slack target connects the same ways', async (t) => {
  const way =
    'proxy: "http://proxy:3128", tls: { ca: c.pem, servername: slack.internal }, headers: { A: "{{ event }}" }'
  const yaml = (rest: string) => `targets:\n  crm: { type: slack, ${rest} }\n`
  const { config } = load(t, yaml(`webhookUrl: "https://slack.internal/x", ${way}`), {
    files: { 'c.pem': SELF_SIGNED.cert },
  })
  const { crm } = config.targets
  if (crm?.type !== 'slack') throw new Error('wrong kind')
  t.match(crm.tls, { servername: 'slack.internal' })
  t.strictSame([crm.proxy, crm.tls?.ca, crm.headers.A].map(reveal), [
    'http://proxy:3128',
    SELF_SIGNED.cert,
    '{{ event }}',
  ])
  t.match(load(t, yaml('webhookUrl: "http+unix://%2Frun%2Fchat.sock/hooks/x"')).config.targets.crm, {
    socketPath: '/run/chat.sock',
  })
  t.throws(() => load(t, yaml('webhookUrl: "http://x/", tls: { insecure: true }')), /write https:\/\/ in webhookUrl/)
  t.throws(() => load(t, yaml('webhookUrl: "https://x/", headers: { A: "1", a: "2" }')), /is the same header as A/)
  t.throws(() => load(t, yaml('webhookUrl: "https://x/", headers: { A: "{{ event. }}" }')), /is not valid JSONata/)
})

t.test('a link-local address is taken where it is asked for, or behind a proxy', async (t) => {
  t.equal(crm(t, 'url: "http://169.254.1.1/", allowLinkLocal: true').allowLinkLocal, true)
  t.equal(crm(t, 'url: "http://[fe80::1]/", allowLinkLocal: "${YES}"', { env: { YES: 'true' } }).allowLinkLocal, true)
  t.equal(crm(t, 'url: "http://169.254.1.1/", proxy: "http://proxy:3128"').allowLinkLocal, false)
})

t.test('redacted fields and a body are taken as they stand', async (t) => {
  const rest = 'redact: [call.joinUrl, call.messages.*.text], body: { a: ["{{call.callId}}", 1, null] }'
  const made = crm(t, `url: "https://x/", headers: { A: "{{event.id}} é ☃" }, ${rest}`)
  t.strictSame(made.redact, ['call.joinUrl', 'call.messages.*.text'])
  t.strictSame(made.body, { a: ['{{call.callId}}', 1, null] })
})
