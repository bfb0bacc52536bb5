import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { ConfigError } from '../../src/config/problem.ts'
import { completed, load, problemsOf } from './relay-yaml.ts'

const GOOD = 'a-secret-that-is-long-enough'
const SOURCE = 'sources:\n  a: { scheme: ultravox, secrets: ["${S}"] }\n'
const IN_FILE = 'sources:\n  a: { scheme: ultravox, secretsFile: ./s }\n'

/** Parts that no form of the secret may show in a message. */
const QUOTED = /that-is-long/

t.test('blanks, line breaks and byte order marks around a secret are left out, with a warning', async (t) => {
  const around = [`${GOOD}\n`, `${GOOD}\r\n\n`, `\ufeff${GOOD}`, `  ${GOOD}\t`, `\u00a0${GOOD}\u200b`]
  for (const text of around) {
    const { config, warnings } = load(t, SOURCE, { env: { S: text } })
    const { a } = config.sources
    t.same(a?.scheme === 'ultravox' && a.secrets.map((secret) => secret.reveal()), [GOOD], JSON.stringify(text))
    t.match(warnings, [{ path: 'sources.a.secrets[0]', message: /^\$\{S\}: has blanks or line breaks/ }])
  }
  const headers = 'targets:\n  crm: { type: http, url: "https://x/", headers: { Authorization: "Bearer ${S}" } }\n'
  const { config, warnings } = load(t, headers, { env: { S: ` ${GOOD}\n` } })
  t.equal(config.targets.crm?.type === 'http' && config.targets.crm.headers.Authorization?.reveal(), `Bearer ${GOOD}`)
  t.match(warnings, [
    { path: 'targets.crm.headers.Authorization', column: headers.split('\n')[1]!.indexOf('${S}') + 1 },
  ])
})

t.test('a file with a secret loses its byte order mark and last line break without a word', async (t) => {
  const yaml = SOURCE.replace('${S}', '${file:./s}')
  for (const text of [`${GOOD}\n`, `${GOOD}\r\n`, `\ufeff${GOOD}\n`]) {
    const { config, warnings } = load(t, yaml, { files: { s: text } })
    const { a } = config.sources
    t.same(a?.scheme === 'ultravox' && a.secrets.map((secret) => secret.reveal()), [GOOD])
    t.same(warnings, [])
  }
})

const REJECTED: Readonly<Record<string, RegExp>> = {
  a: /too short: at least 16 characters/,
  abcdefghijk: /too short/,
  '123123123123123': /too short/,
  [`"${GOOD}"`]: /quotes around it/,
  [`'${GOOD}'`]: /quotes around it/,
  [`“${GOOD}”`]: /quotes around it/,
  [`${GOOD} # from the dashboard`]: /comment/,
  'a-secret-\u200bthat-is-long-enough': /invisible character \(U\+200B\) after 9 characters/,
  'a-secret-\tthat-is-long-enough': /invisible character \(U\+0009\)/,
  'a-secret-\u00a0that-is-long-enough': /invisible character \(U\+00A0\)/,
  '<your webhook secret>': /placeholder/,
  'your-webhook-secret-here': /placeholder/,
  change_me_please_now: /placeholder/,
}

const WARNED: Readonly<Record<string, RegExp>> = {
  'a-sécret-that-is-long-enough': /not ASCII/,
  'a secret that-is-long enough': /a blank in it/,
  [`"${GOOD}`]: /starts or ends with a quote/,
  [`ULTRAVOX_WEBHOOK_SECRET=${GOOD}`]: /NAME=value/,
  '/run/secrets/that-is-long': /looks like a path/,
  $ULTRAVOX_WEBHOOK_SECRET: /has \$NAME in it/,
  '%ULTRAVOX_WEBHOOK_SECRET%': /has %NAME% in it/,
  '{{ env.ULTRAVOX_WEBHOOK_SECRET }}': /has \{\{ env\.NAME \}\} in it/,
  '${ULTRAVOX_WEBHOOK_SECRET}': /has \$\{NAME\} in the value/,
  '$(cat /run/secrets/webhook)': /has \$\(NAME\) in it/,
}

t.test('a secret that can match nothing, or that anybody can guess, is rejected', async (t) => {
  for (const [text, words] of Object.entries(REJECTED)) {
    const problems = problemsOf(t, SOURCE, { env: { S: text } })
    t.match(problems, [{ path: 'sources.a.secrets[0]', message: words }], JSON.stringify(text))
    const inFile = problemsOf(t, IN_FILE, { files: { s: `# ours\n${text}\n` } })
    t.match(inFile, [{ path: 'sources.a.secretsFile', message: /^the secret in line 2 / }], `file: ${text}`)
    t.match(inFile[0]?.message, words)
    for (const { message } of [...problems, ...inFile]) t.notMatch(message, QUOTED)
  }
  t.match(problemsOf(t, SOURCE, { env: { S: `${GOOD}\n${GOOD}` } }), [{ message: /a line break after 28 characters/ }])
})

t.test('a secret that is odd is warned about', async (t) => {
  for (const [text, words] of Object.entries(WARNED)) {
    const { warnings } = load(t, SOURCE, { env: { S: text } })
    t.ok(
      warnings.some(({ path, message }) => path === 'sources.a.secrets[0]' && words.test(message)),
      `${text}: ${warnings.map(({ message }) => message).join('; ')}`,
    )
    for (const { message } of warnings) t.notMatch(message, QUOTED)
  }
})

t.test('secrets as services issue them are taken without a word', async (t) => {
  const secrets = [
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=',
    '/mZlZGNiYTk4NzY1NDMyMTBmZWRjYmE5ODc2NTQzMjE+Pw==',
    'f3c9a8d71b0e4c65a2f7d8e9b1c0a3f4',
    'p4$$w0rd-of-many-characters!',
    'whsec_test_5a0c',
    'ABCDEFGHIJKLMNOP==',
  ]
  for (const secret of secrets) t.same(load(t, SOURCE, { env: { S: secret } }).warnings, [], secret)
})

t.test('a variable in the form of another program is warned about wherever it would be sent', async (t) => {
  const target = (rest: string) => `targets:\n  crm: { type: http, url: "https://x/?$filter=a", ${rest} }\n`
  const warned: Readonly<Record<string, string>> = {
    'headers: { Authorization: "Bearer $CRM_TOKEN" }': 'targets.crm.headers.Authorization',
    'headers: { Authorization: "Bearer $crm_token" }': 'targets.crm.headers.Authorization',
    'headers: { Authorization: "Bearer %CRM_TOKEN%" }': 'targets.crm.headers.Authorization',
    'headers: { Authorization: "Bearer {{ env.CRM_TOKEN }}" }': 'targets.crm.headers.Authorization',
    'headers: { Authorization: "Bearer $credential:crm" }': 'targets.crm.headers.Authorization',
    'proxy: "http://me:$PROXY_PASSWORD@proxy:3128"': 'targets.crm.proxy',
    'sign: { scheme: ultravox, secrets: ["$CRM_SIGNING_SECRET"] }': 'targets.crm.sign.secrets[0]',
  }
  for (const [rest, path] of Object.entries(warned)) {
    t.match(load(t, target(rest)).warnings, [{ path, message: /sent as it stands: a reference is written/ }], rest)
  }
  for (const rest of ['headers: { X: "{{ $now() }} costs $5" }', 'headers: { X: "100%AB%CD" }']) {
    t.same(load(t, target(rest)).warnings, [], rest)
  }
  const exec = 'targets:\n  crm: { type: exec, command: [sh], env: { TOKEN: "$CRM_TOKEN" } }\n'
  t.match(load(t, exec).warnings, [{ path: 'targets.crm.env.TOKEN', message: /\$NAME/ }])
})

t.test('the example secret is refused in a secrets file that other machines could use', async (t) => {
  const files = { s: 'whsec_example_do_not_use\n' }
  t.match(load(t, IN_FILE, { files }).warnings, [
    { path: 'sources.a.secretsFile', message: /^the secret in line 1 is the example secret/ },
  ])
  t.match(problemsOf(t, `server: { listen: 0.0.0.0:8080 }\n${IN_FILE}`, { files }), [
    { path: 'sources.a.secretsFile', message: /^the secret in line 1 is the example secret, which everybody knows/ },
  ])
})

t.test('a file reference to what is no small text file is rejected, without waiting for it', async (t) => {
  const directory = t.testdir({ large: 'x'.repeat(2 * 1024 * 1024), directory: {} })
  execFileSync('mkfifo', [join(directory, 'fifo')])
  writeFileSync(join(directory, 'utf16'), Buffer.from(`\ufeff${GOOD}`, 'utf16le'))
  const file = join(directory, 'relay.yaml')
  for (const [name, words] of Object.entries({
    large: /too large/,
    directory: /is a directory/,
    fifo: /not a regular file/,
    utf16: /not UTF-8/,
  })) {
    writeFileSync(file, completed(SOURCE.replace('${S}', `\${file:./${name}}`)))
    t.throws(() => loadConfig(file, {}), { message: words }, name)
    writeFileSync(file, completed(IN_FILE.replace('./s', `./${name}`)))
    t.throws(() => loadConfig(file, {}), { message: words }, `secretsFile ${name}`)
  }
})

t.test('what is not UTF-8 is rejected with its place, wherever it comes from, and never replaced', async (t) => {
  const latin1 = Buffer.from('a-s\xe9cret-of-enough-length', 'latin1')
  const directory = t.testdir({})
  writeFileSync(join(directory, 'file'), latin1)
  writeFileSync(join(directory, 'list'), Buffer.concat([Buffer.from(`# ours\n${GOOD}\n`), latin1]))
  const file = join(directory, 'relay.yaml')
  const problems = (yaml: string, env: NodeJS.ProcessEnv = {}) => {
    writeFileSync(file, completed(yaml))
    try {
      loadConfig(file, env)
    } catch (error) {
      t.notMatch((error as Error).message, /cret-of/)
      return (error as ConfigError).problems
    }
    return t.fail('accepted')
  }
  const path = 'sources.a.secrets[0]'
  t.match(problems(SOURCE.replace('${S}', '${file:./file}')), [
    { path, message: /file:.*not UTF-8 text, first in line 1;/ },
  ])
  const credential = problems(SOURCE.replace('${S}', '${credential:file}'), { CREDENTIALS_DIRECTORY: directory })
  t.match(credential, [{ path, message: /credential:file.*not UTF-8 text/ }])
  t.match(problems(IN_FILE.replace('./s', './list')), [
    { path: 'sources.a.secretsFile', message: /not UTF-8 text, first in line 3;/ },
  ])
  // What Node makes of such a variable.
  const env = { S: latin1.toString('utf8') }
  const variable = /^\$\{S.*\}: this environment variable is not UTF-8 text: write it in UTF-8/
  t.match(problems(SOURCE, env), [{ path, message: variable }])
  t.match(problems(SOURCE.replace('${S}', '${S:-none}'), env), [{ path, message: variable }])
  t.match(problems(SOURCE.replace('${S}', 'a-s\ufffdcret-of-enough-length')), [
    { path, message: /U\+FFFD after 3 characters/ },
  ])
  t.match(problems('targets:\n  crm: { type: exec, command: [/bin/cat], passEnv: [S] }\n', env), [
    { path: 'targets.crm.passEnv[0]', message: 'S is not UTF-8 text: write it in UTF-8 where it is set' },
  ])
  const targets = {
    'crm.headers.Authorization':
      '{ type: http, url: "https://x/", headers: { Authorization: "Bearer \ufffdcret-of" } }',
    'crm.webhookUrl': '{ type: slack, webhookUrl: "https://x/\ufffdcret-of" }',
    'crm.proxy': '{ type: http, url: "https://x/", proxy: "http://u:\ufffdcret-of@p:3128" }',
    'crm.env.KEY': '{ type: exec, command: [/bin/cat], env: { KEY: "\ufffdcret-of" } }',
  }
  for (const [place, target] of Object.entries(targets)) {
    const found = problems(`targets:\n  crm: ${target}\n`)
    t.match(found, [{ path: `targets.${place}`, message: /U\+FFFD|outside of ASCII/ }], place)
  }
  t.match(problems('admin: { listen: "127.0.0.1:0", token: "${S}" }\n', env), [
    { path: 'admin.token', message: variable },
  ])
  writeFileSync(file, Buffer.concat([Buffer.from('server: {}\n# '), latin1]))
  t.throws(() => loadConfig(file, {}), { message: /relay\.yaml:2:1: is not UTF-8 text: .*LATIN1/ })
})

t.test('commands that only need the outbox are not kept from it by a bad secret', async (t) => {
  const directory = t.testdir({ 'relay.yaml': completed(SOURCE) })
  t.doesNotThrow(() => loadConfig(join(directory, 'relay.yaml'), { S: 'a' }, 'outbox'))
})
