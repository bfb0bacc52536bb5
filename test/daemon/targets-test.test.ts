import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'

const MARK = 'marked-secret'
const sources = { ultravox: { scheme: 'ultravox', secrets: [MARK] } }

t.test('a target is sent one event that tells it is a test, and what was sent is shown without secrets', async (t) => {
  const directory = scratch(t)
  const { origin, received } = await httpServer(t, (response, { headers }) => {
    response.writeHead(201).end(`you are ${headers.authorization}\n\u001b[2J`)
  })
  const http = {
    type: 'http',
    url: `${origin}/${MARK}?k=${MARK}`,
    headers: { Authorization: `Bearer ${MARK}`, 'X-Short': 'abc-1' },
    sign: { scheme: 'ultravox', secrets: [MARK] },
    paused: true,
    body: { call: '{{call.callId}}', test: '{{call.metadata.test}}', key: `${MARK}-of-some-length` },
  }
  writeConfig(directory, { sources, targets: { crm: http }, routes: [{ events: ['*'], to: ['crm'] }] })
  const { code, stdout, stderr } = await runCommand(['targets', 'test', 'crm', '--event', 'call.billed'], directory)
  t.equal(code, 0, stderr)
  t.notMatch(stdout + stderr, MARK)
  for (const text of ['abc-1', '\u001b']) t.notOk(stdout.includes(text))
  t.ok(stdout.startsWith(`POST ${origin}/[secret]\nAuthorization: [secret]\n`), stdout)
  t.match(stdout, /\nx-relay-event: call\.billed\n.*\ndelivered, status 201, after \d+ ms\n {2}you are \[secret\]\n/s)
  t.match(stderr, /crm is paused by its configuration/)
  t.equal(received.length, 1)
  t.match(received[0]!.headers, { 'webhook-id': /^evt_test_/, 'x-relay-target': 'crm' })
  t.match(JSON.parse(received[0]!.body.toString()), { call: /^test-/, test: 'true' })
  t.notOk(existsSync(join(directory, 'relay.db')), 'the outbox is not touched')
})

t.test('what came of it decides the exit code, for every kind of target', async (t) => {
  const directory = scratch(t)
  const { origin } = await httpServer(t, (response) => response.writeHead(400).end('invalid_payload'))
  const targets = {
    ops: { type: 'slack', webhookUrl: `${origin}/services/${MARK}` },
    good: { type: 'exec', command: ['sh', '-c', 'cat; echo "$TOKEN"'], env: { TOKEN: MARK } },
    bad: { type: 'exec', command: ['sh', '-c', 'echo no >&2; exit 3'] },
    nobody: { type: 'http', url: 'http://127.0.0.1:1/x' },
  }
  writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: Object.keys(targets) }] })
  const test = (name: string) => runCommand(['targets', 'test', name], directory)
  const [ops, good, bad, nobody, none] = await Promise.all(['ops', 'good', 'bad', 'nobody', 'goood'].map(test))
  t.match(ops, {
    code: 1,
    stdout:
      /^POST \S+\/\[secret\]\n.*"text":"\*Call ended\*.*refused \(would be dead\): slack: invalid_payload, status 400/s,
  })
  t.match(good, { code: 0, stdout: /^\/\S*sh -c cat; echo "\$TOKEN"\n.*delivered, status 0.*\[secret\]\n$/s })
  t.match(bad, { code: 1, stdout: /failed \(would be tried again\): exit 3: no, status 3/ })
  t.match(nobody, { code: 1, stdout: /^POST http:\/\/127\.0\.0\.1:1\/\[secret\]\n.*failed .*ECONNREFUSED/s })
  t.match(none, { code: 2, stdout: '', stderr: /there is no target "goood" \(did you mean "good"\?\)/ })
  t.notMatch(JSON.stringify([ops, good, bad, nobody]), MARK)
})

t.test('in JSON it is one document', async (t) => {
  const directory = scratch(t)
  writeConfig(directory, {
    sources,
    targets: { hook: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['hook'] }],
  })
  const { code, stdout } = await runCommand(['targets', 'test', 'hook', '--json'], directory)
  t.equal(code, 0)
  t.match(JSON.parse(stdout), {
    target: 'hook',
    type: 'exec',
    eventId: /^evt_test_/,
    request: { command: [/cat$/], body: /"metadata":{"test":"true"}/ },
    outcome: { kind: 'delivered', status: 0 },
    durationMs: Number,
  })
})
