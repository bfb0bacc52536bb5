import t from 'tap'
import { load, warns } from './relay-yaml.ts'

t.test('a source that verifies nothing is warned about', async (t) => {
  warns(t, {
    yaml: 'sources:\n  open: { scheme: ▸none }',
    path: 'sources.open.scheme',
    words: /takes anything anyone sends; write scheme: ultravox/,
  })
})

t.test('a secrets file that others may read is warned about', async (t) => {
  const yaml = 'sources:\n  a: { scheme: ultravox, secretsFile: ▸./ultravox.secrets }'
  const files = { 'ultravox.secrets': 'a-secret-long-enough\n' }
  warns(t, { yaml, files, path: 'sources.a.secretsFile', words: /chmod 600/ })
})

t.test('a server whose certificate is not looked at is warned about', async (t) => {
  warns(t, {
    yaml: 'targets:\n  crm: { type: http, url: "https://x/", tls: { insecure: ▸true } }',
    path: 'targets.crm.tls.insecure',
    words: /takes any certificate.*own authority into ca/,
  })
  t.strictSame(load(t, 'targets:\n  crm: { type: http, url: "https://x/", tls: { insecure: false } }').warnings, [])
})

t.test('an event that looks like a known one is warned about', async (t) => {
  warns(t, {
    yaml: 'routes:\n  - { events: [call.started, ▸call.endd], to: [crm] }',
    path: 'routes[0].events[1]',
    words: /"call\.endd".*did you mean "call\.ended"/,
  })
})

t.test("an event that looks like one of the relay's own is warned about", async (t) => {
  warns(t, {
    yaml: 'routes:\n  - { events: ["relay.*", relay.target.closed, ▸relay.delivery.ded], to: [crm] }',
    path: 'routes[0].events[2]',
    words: /"relay\.delivery\.ded".*did you mean "relay\.delivery\.dead"/,
  })
})

t.test('a pattern that is written as elsewhere is warned about', async (t) => {
  const patterns: [string, RegExp][] = [
    ['"call.(ended|billed)"', /one event per element/],
    ['"call.{ended}"', /only \* has a meaning/],
    ["'/call.*/'", /only \* has a meaning/],
    ['all', /write "\*" for all events/],
    ['ended', /did you mean "call\.ended"/],
  ]
  for (const [pattern, words] of patterns) {
    warns(t, { yaml: `routes:\n  - { events: [▸${pattern}], to: [crm] }`, path: 'routes[0].events[0]', words })
  }
})

t.test('a redacted field that no call has is warned about', async (t) => {
  const yaml = (path: string) => `targets:\n  crm: { type: http, url: "https://x/", redact: [${path}] }`
  warns(t, { yaml: yaml('▸call.sumary'), path: 'targets.crm.redact[0]', words: /did you mean "summary"/ })
  warns(t, { yaml: yaml('▸systemPrompt'), path: 'targets.crm.redact[0]', words: /did you mean call\.systemPrompt/ })
  t.strictSame(load(t, yaml('call.metadata.tenant, call.*.text, other.field')).warnings, [])
})

t.test('an event that looks like no other is taken as it is', async (t) => {
  const { config, warnings } = load(t, 'routes:\n  - { events: [voicemail.left, call.*], to: [crm] }')
  t.strictSame(warnings, [])
  t.strictSame(config.routes[0]?.events, ['voicemail.left', 'call.*'])
})

t.test('a condition that a later route makes pointless is warned about', async (t) => {
  warns(t, {
    yaml: 'routes:\n  - { events: [call.ended], to: [crm], when: ▸call.joined }\n  - { events: ["*"], to: [crm] }',
    path: 'routes[0].when',
    words: /no effect: routes\[1\] sends these events to these targets/,
  })
})

t.test('a policy that gives up before it tries again is warned about', async (t) => {
  warns(t, {
    yaml: 'retry: { giveUpAfter: ▸1s }',
    path: 'retry.giveUpAfter',
    words: /nothing is ever tried again.*maxAttempts: 1/,
  })
})

t.test('a reference that is compared by size is warned about: it is a text', async (t) => {
  const words = /\$\{LEAST\} is a text, and is compared by size: write \$number\(\$\{LEAST\}\)/
  const env = { LEAST: '30' }
  for (const when of ['call.metadata.n > ${LEAST}', '${LEAST} <= call.metadata.n']) {
    const yaml = `routes:\n  - { events: [call.ended], to: [crm], when: ▸"${when}" }`
    warns(t, { yaml, env, path: 'routes[0].when', words })
  }
  const numbers = 'routes:\n  - { events: [call.ended], to: [crm], when: "call.metadata.n > $number(${LEAST})" }'
  t.strictSame(load(t, numbers, { env }).warnings, [])
})
