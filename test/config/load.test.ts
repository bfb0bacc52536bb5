import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { Secret } from '../../src/domain/secret.ts'
import { load, problemsOf } from './relay-yaml.ts'

const reveal = (secret: Secret) => secret.reveal()
const RETRY = {
  initialDelayMs: 5_000,
  factor: 2,
  maxDelayMs: 3_600_000,
  jitter: 0.2,
  giveUpAfterMs: 259_200_000,
  maxAttempts: null,
  timeouts: null,
}

const DAY = 86_400_000

t.test('a short file gets good defaults for all else', async (t) => {
  const { config, warnings } = load(t, '')
  t.strictSame(warnings, [])
  t.equal(config.file, join(config.directory, 'relay.yaml'))
  t.strictSame(config.server, {
    listen: { host: '127.0.0.1', port: 8080 },
    trustProxy: [],
    bodyLimitBytes: 5 * 1024 * 1024,
    maxHeaderSizeBytes: 32 * 1024,
    rateLimit: { maxRefused: 120, perMs: 60_000 },
    tls: null,
    keepAliveTimeoutMs: 960_000,
    shutdownTimeoutMs: 20_000,
  })
  t.strictSame(config.outbox, {
    path: join(config.directory, 'data/relay.db'),
    reserveBytes: 256 * 1024 ** 2,
    retention: { deliveredMs: 30 * DAY, deadMs: 90 * DAY, rejectionsMs: 7 * DAY, keysMs: 400 * DAY },
    createIfMissing: true,
    maxSizeBytes: null,
  })
  t.strictSame(config.delivery, { alertAfterMs: 900_000 })
  t.match(config.sources, {
    ultravox: { path: '/webhooks/ultravox', scheme: 'ultravox', toleranceMs: 60_000, expectWithinMs: null },
  })
  t.strictSame(config.routes, [
    { name: null, events: ['*'], sources: null, when: null, to: ['crm'], referenced: { values: [], fallbacks: [] } },
  ])
})

/** What no kind has a default of its own for. */
const PACE = {
  attach: null,
  breaker: { failures: 10, cooldownMs: 30_000, maxCooldownMs: 600_000 },
  ordered: false,
  holdOnDead: false,
  paused: false,
  retry: RETRY,
  referenced: { values: [], fallbacks: [] },
}

t.test('each kind of target has its own defaults', async (t) => {
  const { targets } = load(
    t,
    `
targets:
  crm: { type: http, url: "https://x/?k=v" }
  ops: { type: slack, webhookUrl: "https://hooks.slack.test/x" }
  run: { type: exec, command: [sh, -c, ""] }
routes: [{ events: ["*"], to: [crm, ops, run] }]
`,
  ).config
  const { crm, ops, run } = targets
  if (crm?.type !== 'http' || ops?.type !== 'slack' || run?.type !== 'exec') throw new Error('wrong kinds')
  const { url, ...http } = crm
  t.equal(url.reveal(), 'https://x/?k=v')
  t.strictSame(http, {
    type: 'http',
    method: 'POST',
    headers: {},
    redact: [],
    body: null,
    nulls: 'absent',
    sign: null,
    retryOn: [],
    rejectOn: [],
    tls: null,
    socketPath: null,
    proxy: null,
    allowLinkLocal: false,
    maxConnectionAgeMs: 60_000,
    maxHeadBytes: 65_536,
    timeoutMs: 10_000,
    concurrency: 8,
    rateLimit: null,
    ...PACE,
  })
  const { webhookUrl, ...slack } = ops
  t.equal(webhookUrl.reveal(), 'https://hooks.slack.test/x')
  t.strictSame(slack, {
    type: 'slack',
    text: null,
    blocks: null,
    nulls: 'absent',
    headers: {},
    tls: null,
    socketPath: null,
    proxy: null,
    timeoutMs: 10_000,
    concurrency: 1,
    rateLimit: { max: 1, perMs: 1_000 },
    ...PACE,
  })
  const { command, ...exec } = run
  t.match(command[0], /^\/.*\/sh$/, 'found in PATH')
  t.strictSame(command.slice(1), ['-c', ''])
  t.strictSame(exec, {
    type: 'exec',
    env: {},
    passEnv: [],
    runAs: null,
    timeoutMs: 30_000,
    concurrency: 2,
    rateLimit: null,
    ...PACE,
  })
})

t.test('a target inherits what it does not say about retries', async (t) => {
  const { config } = load(
    t,
    `
retry: { initialDelay: 1s, maxDelay: 10m, maxAttempts: 50, timeouts: 4 }
targets:
  a: { type: http, url: "https://x/", retry: { maxAttempts: 3 } }
  b: { type: http, url: "https://y/", retry: { factor: "1.5", giveUpAfter: 1d } }
routes: [{ events: ["*"], to: [a, b] }]
`,
  )
  const inherited = { ...RETRY, initialDelayMs: 1_000, maxDelayMs: 600_000, timeouts: 4 }
  t.strictSame(config.targets.a?.retry, { ...inherited, maxAttempts: 3 })
  t.strictSame(config.targets.b?.retry, { ...inherited, factor: 1.5, giveUpAfterMs: 86_400_000, maxAttempts: 50 })
})

t.test('numbers, durations and sizes may come from the environment', async (t) => {
  const env = { PORT: '0', N: '3', T: '1.5h', B: '0.5mb', STATUS: '404' }
  const yaml = `
server: { listen: "[::1]:\${PORT}", bodyLimit: "\${B}", rateLimit: { maxRefused: "\${N}" } }
targets:
  crm: { type: http, url: "https://x/", concurrency: "\${N}", timeout: "\${T}", retryOn: ["\${STATUS}"] }
`
  const { server, targets } = load(t, yaml, { env }).config
  t.strictSame(server.listen, { host: '::1', port: 0 })
  t.equal(server.bodyLimitBytes, 524_288)
  t.equal(server.rateLimit.maxRefused, 3)
  t.match(targets.crm, { concurrency: 3, timeoutMs: 5_400_000, retryOn: [404] })
})

t.test('what is to be told of can be set: silence for each source, the age of a backlog, the space left', async (t) => {
  const yaml = `
outbox: { reserve: 2gb, maxSize: 10gb, retention: { delivered: 1h, keys: 90d } }
delivery: { alertAfter: 90s }
sources:
  a: { scheme: ultravox, secrets: [x-long-enough-secret], expectWithin: 2h }
  b: { scheme: ultravox, secrets: [x-long-enough-secret] }
`
  const { outbox, delivery, sources } = load(t, yaml).config
  t.equal(outbox.reserveBytes, 2 * 1024 ** 3)
  t.equal(outbox.maxSizeBytes, 10 * 1024 ** 3)
  t.match(outbox.retention, { deliveredMs: 3_600_000, deadMs: 90 * DAY, keysMs: 90 * DAY })
  t.equal(delivery.alertAfterMs, 90_000)
  t.strictSame([sources.a?.expectWithinMs, sources.b?.expectWithinMs], [7_200_000, null])
})

t.test('secrets and headers are kept as secrets', async (t) => {
  const yaml = `
sources: { a: { scheme: ultravox, secrets: ["\${OLD}", "\${NEW}"] } }
targets:
  crm: { type: http, url: "https://x/", headers: { A: "Bearer \${NEW}" }, sign: { scheme: ultravox, secrets: [s-long-enough-secret] } }
`
  const { sources, targets } = load(t, yaml, {
    env: { OLD: 'the-old-secret-of-it', NEW: 'the-new-secret-of-it' },
  }).config
  t.strictSame(sources.a?.scheme === 'ultravox' && sources.a.secrets.map(reveal), [
    'the-old-secret-of-it',
    'the-new-secret-of-it',
  ])
  const { crm } = targets
  if (crm?.type !== 'http') throw new Error('wrong kind')
  t.equal(crm.headers.A?.reveal(), 'Bearer the-new-secret-of-it')
  t.strictSame([crm.sign?.scheme, crm.sign?.secrets.map(reveal)], ['ultravox', ['s-long-enough-secret']])
})

t.test('a Standard Webhooks secret may come with its prefix or without', async (t) => {
  const base64 = Buffer.alloc(24, 7).toString('base64')
  const sign = `{ scheme: standard-webhooks, secrets: ["${base64}", "whsec_${base64}"] }`
  t.doesNotThrow(() => load(t, `targets: { crm: { type: http, url: "https://x/", sign: ${sign} } }`))
})

t.test('a program with a slash is found from the directory of the file', async (t) => {
  const directory = t.testdir({
    hooks: { 'a.sh': '' },
    'relay.yaml': `
sources: { a: { scheme: ultravox, secrets: [x-long-enough-secret] } }
targets: { run: { type: exec, command: [hooks/a.sh, --json] } }
routes: [{ events: ["*"], to: [run] }]
`,
  })
  chmodSync(join(directory, 'hooks/a.sh'), 0o755)
  const { run } = loadConfig(join(directory, 'relay.yaml'), {}).config.targets
  t.strictSame(run?.type === 'exec' && run.command, [join(directory, 'hooks/a.sh'), '--json'])
})

t.test('the example secret is taken where only this machine can reach it', async (t) => {
  for (const listen of ['127.0.0.1:80', '127.1.2.3:80', '[::1]:80', 'localhost:80']) {
    const sources = 'sources: { a: { scheme: ultravox, secrets: [whsec_example_do_not_use] } }'
    t.doesNotThrow(() => load(t, `server: { listen: "${listen}" }\n${sources}`), listen)
  }
})

t.test('anchors and aliases work', async (t) => {
  const { targets } = load(
    t,
    `
targets:
  a: { type: http, url: "https://x/", retry: &patient { giveUpAfter: 14d } }
  b: { type: http, url: "https://y/", retry: *patient }
routes: [{ events: ["*"], to: [a, b] }]
`,
  ).config
  t.equal(targets.b?.retry.giveUpAfterMs, 14 * 86_400_000)
})

t.test("a target's order, breaker and pause are taken over", async (t) => {
  const { crm } = load(
    t,
    `
targets:
  crm:
    type: http
    url: https://x/
    ordered: call
    onDead: hold
    breaker: { failures: 3, cooldown: 5s }
    paused: true
routes: [{ events: ["*"], to: [crm] }]
`,
  ).config.targets
  t.match(crm, {
    ordered: true,
    holdOnDead: true,
    breaker: { failures: 3, cooldownMs: 5_000, maxCooldownMs: 600_000 },
    paused: true,
  })
})

t.test('merge keys work, and top-level keys that begin with x- hold what is merged', async (t) => {
  const yaml = `x-http: &http { type: http, timeout: 3s, headers: { a: "\${NOT_SET}" } }
x-slow: &slow { timeout: 9s, concurrency: 2 }
targets:
  crm: { <<: *http, url: "https://crm.internal/", headers: {} }
  erp: { url: "https://erp.internal/", <<: [*slow, *http], headers: {} }
routes:
  - { events: ["*"], to: [crm, erp] }
`
  const { crm, erp } = load(t, yaml).config.targets
  t.match(
    [crm, erp],
    [
      { type: 'http', timeoutMs: 3_000, concurrency: 8 },
      { type: 'http', timeoutMs: 9_000, concurrency: 2 },
    ],
  )
  const problems = problemsOf(t, yaml.replace('timeout: 9s', 'timeout: 9'))
  t.match(problems, [{ path: 'targets.erp.timeout', line: 2, message: /needs a unit/ }], 'shown where it is written')
})

t.test('a list of one may be written as its element', async (t) => {
  const { config } = load(t, 'routes:\n  - { name: all of it, events: "*", to: crm }\n')
  t.match(config.routes, [{ name: 'all of it', events: ['*'], to: ['crm'] }])
  t.match(problemsOf(t, 'routes:\n  - { events: "", to: [crm] }\n'), [{ path: 'routes[0].events[0]' }])
  t.match(problemsOf(t, 'routes:\n  - { events: ["a b"], to: nobody }\n'), [
    { path: 'routes[0].events[0]', message: /must not have blanks/ },
    { path: 'routes[0].to[0]', message: /there is no target/ },
  ])
})

t.test('durations and sizes are read as people write them', async (t) => {
  const ms = {
    '2sec': 2_000,
    '90 s': 90_000,
    '1h30m': 5_400_000,
    '1h 30m': 5_400_000,
    '14 days': 14 * 86_400_000,
    '2w': 14 * 86_400_000,
    '1 hour': 3_600_000,
    '1.5h': 5_400_000,
    '500ms': 500,
    '5min': 300_000,
    '1 week 1 day': 8 * 86_400_000,
  }
  for (const [written, giveUpAfterMs] of Object.entries(ms)) {
    const { config } = load(
      t,
      `targets:\n  crm: { type: http, url: "https://x/", retry: { giveUpAfter: ${written} } }\n`,
    )
    t.equal(config.targets.crm!.retry.giveUpAfterMs, giveUpAfterMs, written)
  }
  for (const written of ['30m1h', '1h1h', '1 x', 'h', '1_000s', '1,5h', '-1s', '1h-30m']) {
    const [problem] = problemsOf(t, `retry: { giveUpAfter: "${written}" }\n`)
    t.match(problem, { path: 'retry.giveUpAfter', message: /such as 500ms, 60s, 5m, 1h30m or 14d/ }, written)
  }
  for (const written of ['5mb', '5 MB', '5MiB', '5120kb']) {
    t.equal(load(t, `server: { bodyLimit: ${written} }\n`).config.server.bodyLimitBytes, 5 * 1024 ** 2, written)
  }
})
