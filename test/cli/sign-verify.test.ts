import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'
import { bodyOf } from '../daemon/ultravox-sender.ts'

const [FIRST, SECOND] = ['whsec_first_marked', 'whsec_second_marked']
const rest = { targets: { sink: { type: 'exec', command: ['cat'] } }, routes: [{ events: ['*'], to: ['sink'] }] }
const sources = { ultravox: { scheme: 'ultravox', secrets: ['${GONE}', FIRST, SECOND] }, open: { scheme: 'none' } }

t.test('what sign prints is what verify takes, and neither shows a secret', async (t) => {
  const directory = t.testdir({ 'body.json': bodyOf('call.ended'), secret: `${SECOND}\n` })
  writeConfig(directory, { sources, ...rest })
  const signed = await runCommand(['sign', 'body.json', '--secret-file', 'secret'], directory)
  t.match(signed, {
    code: 0,
    stderr: '',
    stdout: /^x-ultravox-webhook-timestamp: \S+\nx-ultravox-webhook-signature: [0-9a-f]{64}\n$/,
  })
  writeFileSync(
    join(directory, 'headers'),
    `POST / HTTP/1.1\r\nHost: x\r\n${signed.stdout.toUpperCase().toLowerCase()}`,
  )
  const headers = readFileSync(join(directory, 'headers'), 'utf8').replace(/\d{4}-\d\d-\d\dt/, (time) =>
    time.toUpperCase(),
  )
  writeFileSync(join(directory, 'headers'), headers)
  const verified = await runCommand(['verify', 'body.json', '--headers', 'headers'], directory)
  t.match(verified, {
    code: 0,
    stdout: /^genuine: signed with secret 3 of 3 of source ultravox\nsent .* ago: within the tolerance of 1m now\n$/,
  })
  t.match(verified.stderr, /^warning: left out: relay\.yaml:.*GONE.*not set/)
  t.notMatch(JSON.stringify([signed, verified]), /marked/)
})

t.test('sign writes the timestamp as Ultravox does, in another form, or as it is told', async (t) => {
  const body = '{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}'
  const directory = t.testdir({ body, secret: 'whsec_test_5a0c' })
  const sign = (...more: string[]) => runCommand(['sign', 'body', '--secret-file', 'secret', ...more], directory)
  const [plain, z, offset, exact, wrong, both] = await Promise.all([
    sign(),
    sign('--timestamp-form', 'z'),
    sign('--timestamp-form', 'offset'),
    sign('--timestamp', '2026-01-15T12:00:00.123456'),
    sign('--timestamp', '2026-01-15T12:00:00.123456\r\nx: y'),
    sign('--timestamp', '2026-01-15T12:00:00', '--timestamp-form', 'z'),
  ])
  t.match(plain.stdout, /^x-ultravox-webhook-timestamp: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\n/)
  t.match(z.stdout, /^x-ultravox-webhook-timestamp: \S+\.\d{6}Z\n/)
  t.match(offset.stdout, /^x-ultravox-webhook-timestamp: \S+\.\d{6}\+00:00\n/)
  t.equal(
    exact.stdout,
    'x-ultravox-webhook-timestamp: 2026-01-15T12:00:00.123456\n' +
      'x-ultravox-webhook-signature: e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0\n',
  )
  t.match(wrong, { code: 2, stderr: /write an ISO 8601 time/ })
  t.match(both, { code: 2, stderr: /cannot be used with/ })
})

t.test('a secret from a file is used without what is around it, and judged', async (t) => {
  const directory = t.testdir({
    body: '{}',
    plain: 'whsec_test_5a0c\n',
    around: '\ufeff whsec_test_5a0c\r\n\n',
    quoted: '"whsec_test_5a0c"',
  })
  const sign = (file: string) => runCommand(['sign', 'body', '--secret-file', file], directory)
  t.match(await sign('plain'), { code: 0, stderr: '' })
  t.match(await sign('around'), {
    code: 0,
    stderr: /^warning: blanks or line breaks around the secret in around are left out\n$/,
  })
  t.match(await sign('quoted'), { code: 0, stderr: /^warning: the secret in quoted has quotes around it/ })
})

t.test('verify tells in JSON how old a genuine request is, and ends with 1 for one that is not', async (t) => {
  const body = '{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}'
  const directory = t.testdir({ body, altered: `${body}\n`, secret: 'whsec_test_5a0c' })
  const claim = [
    ...['--timestamp', '2026-01-15T12:00:00.123456', '--secret-file', 'secret'],
    ...['--signature', 'e3914a7c6b62ec3dfa975c090e5b401acf482689383ba7824263390deaa70ab0'],
  ]
  const [genuine, altered] = await Promise.all([
    runCommand(['verify', 'body', ...claim, '--json'], directory),
    runCommand(['verify', 'altered', ...claim], directory),
  ])
  t.equal(genuine.code, 0)
  t.match(JSON.parse(genuine.stdout), {
    genuine: true,
    secret: 1,
    secrets: 1,
    sentAt: '2026-01-15T12:00:00.123Z',
    toleranceMs: 60_000,
    withinTolerance: false,
    cause: null,
  })
  t.match(altered, {
    code: 1,
    stdout: /^not genuine: .*\nlikely cause: the body without the line break at its end .*\nsent .*refused now\n$/,
  })
})

t.test(
  'the curl command of sign is taken by a running relay',
  { skip: !hasCurl() && 'there is no curl' },
  async (t) => {
    const directory = t.testdir({ "it's.json": bodyOf('call.ended') })
    const relay = await startRelay(
      t,
      writeConfig(directory, { sources: { ultravox: { scheme: 'ultravox', secrets: [FIRST] } }, ...rest }),
    )
    const file = join(directory, 'port.yaml')
    writeFileSync(
      file,
      stringify({
        server: { listen: relay.origin.slice(7) },
        sources: { ultravox: { scheme: 'ultravox', secrets: [FIRST] } },
        ...rest,
      }),
    )
    const { stdout } = await runCommand(['sign', "it's.json", '--curl', '-c', 'port.yaml'], directory)
    t.match(execFileSync('sh', ['-c', `${stdout.trim()} -s`], { cwd: directory }).toString(), /^HTTP\/1\.1 204/)
  },
)

t.test('what cannot be signed with or verified is told with what to do', async (t) => {
  const directory = t.testdir({ body: '{}', empty: '' })
  writeFileSync(join(directory, 'latin1'), Buffer.from('a-s\xe9cret-of-enough-length', 'latin1'))
  writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: ['${GONE}'] }, open: { scheme: 'none' } },
    ...rest,
  })
  const cases: [string, number, RegExp][] = [
    ['sign none.json --secret-file empty', 2, /empty is empty/],
    ['sign none.json', 2, /GONE.*\n.*--secret-file/],
    ['sign body --source open', 2, /scheme: none/],
    ['sign body --source nope', 2, /there is no source "nope"; there is: ultravox, open/],
    ['sign none.json --secret-file body', 3, /there is no file none\.json/],
    ['sign . --secret-file body', 2, /it is a directory/],
    ['sign body --secret-file latin1', 2, /the secret in latin1 cannot be read: it is not UTF-8 text/],
    ['verify body --headers body --secret-file latin1', 2, /it is not UTF-8 text, first in line 1/],
    ['verify body', 2, /--timestamp and --signature, or --headers/],
    ['verify body --headers body --signature x', 2, /cannot be used with/],
  ]
  await Promise.all(
    cases.map(async ([line, code, stderr]) =>
      t.match(await runCommand(line.split(' '), directory), { code, stdout: '', stderr }, line),
    ),
  )
})

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
