import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, type Row, service, sink, sources } from './operator-commands.ts'
import { MAIN, startRelay, writeConfig } from './relay-process.ts'
import { startAtTerminal, startCommand } from './terminal.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const routes = [{ events: ['*'], to: ['crm'] }]

t.test('what happens is told as it happens, also over a restart of the relay', async (t) => {
  const directory = scratch(t)
  const crm = await service(t, true)
  const config = writeConfig(directory, { sources, targets: { crm: crm.target }, routes })
  const first = await startRelay(t, config)
  const text = startCommand(t, 'tail --follow --lines 0', directory)
  const json = startCommand(t, 'tail -f --json --only attempts,refusals', directory)
  await send(`${first.origin}/webhooks/ultravox`, bodyOf('call.ended', 'call-1'))
  await fetch(`${first.origin}/webhooks/ultravox`, { method: 'POST', body: '{}' })
  // A command that began later has begun with these.
  await eventually(() => json.output().split('\n').length === 3, 'an attempt and a refusal')
  await first.end('SIGTERM')
  const second = await startRelay(t, config)
  crm.state.up = false
  await eventually(async () => {
    await send(`${second.origin}/webhooks/ultravox`, bodyOf('call.ended', 'call-2'))
    return text.output().includes('http 410')
  }, 'it goes on with the new one')
  await eventually(() => json.output().includes('http 410'), 'and so does the other')
  t.match(text.output(), /Z {2}event {4}received {3}call\.ended call-2 from ultravox\n/)
  t.match(text.output(), /Z {2}attempt {2}refused {4}call\.ended call-2 to crm, delivery 2, \d+ ms: http 410\b.*\n/)
  const entries = json
    .output()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row)
  const attempt = { kind: 'attempt', at: /Z$/, startedAt: /Z$/, event: 'call.ended', target: 'crm', attempt: 1 }
  t.match(
    entries.filter(({ kind }) => kind === 'attempt'),
    [
      { ...attempt, callId: 'call-1', outcome: 'delivered', status: 200 },
      { ...attempt, callId: 'call-2', outcome: 'refused', status: 410, error: /http 410/ },
    ],
  )
  t.match(
    entries.find(({ kind }) => kind === 'refusal'),
    { source: 'ultravox', reason: 'signature_missing', peer: /127/ },
  )
  t.equal(entries.length, 3, 'each once')
  t.equal(await text.interrupt(), 130)
  t.equal(await json.interrupt(), 130)
})

t.test('the last of what has happened is shown with no relay running, and can be chosen', async (t) => {
  const directory = scratch(t)
  const { run, runWith } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes })
  await fill(directory, [{ callId: 'call-a' }, { callId: 'call-b', event: 'call.started' }], ['crm'], 'dead')
  const whole = await run('tail')
  t.match(whole, { code: 0, stderr: '' })
  const event = (call: string) => `1970-01-01T00:00:01.000Z  event    received   ${call} from ultravox\n`
  const attempt = (call: string, id: number) =>
    `1970-01-01T00:00:02.005Z  attempt  refused    ${call} to crm, delivery ${id}, 5 ms: http 503\n`
  const [a, b] = ['call.ended call-a', 'call.started call-b']
  t.equal(whole.stdout, event(a) + event(b) + attempt(a, 1) + attempt(b, 2))
  t.equal((await run('tail -n 1 --color on')).stdout.includes('\u001b[31mrefused'), true)
  t.match((await runWith({ FORCE_COLOR: '1' }, 'tail -n 1')).stdout, '\u001b[31mrefused')
  t.notMatch((await runWith({ FORCE_COLOR: '1', NO_COLOR: '1' }, 'tail -n 1')).stdout, '\u001b')
  t.equal((await run('tail --call call-a')).stdout, event(a) + attempt(a, 1))
  t.equal((await run('tail --event *.started --only events')).stdout, event(b))
  t.equal((await run('tail --target crm -n 1')).stdout, attempt(b, 2))
  t.match(await run('tail --target cmr'), {
    code: 2,
    stdout: '',
    stderr: /no target "cmr".*did you mean "crm"/,
  })
  t.match(await run('tail --source other --only refusals'), { code: 2, stderr: /no source "other"/ })
  const wrong: [string, RegExp][] = [
    ['tail --only refusals --call x', /leave out --event, --call and --target/],
    ['tail --only attempts,events --target crm', /leave out --target/],
    ['tail --only deliveries', /write events or attempts or refusals/],
    ['tail --lines -1', /a whole number/],
  ]
  for (const [line, stderr] of wrong) t.match(await run(line), { code: 2, stdout: '', stderr }, line)
})

t.test('a closed pipe and Ctrl-C at a terminal end it well', async (t) => {
  const directory = scratch(t)
  writeConfig(directory, { sources, targets: { crm: sink }, routes })
  await fill(
    directory,
    Array.from({ length: 50 }, () => ({})),
    ['crm'],
    'delivered',
  )
  const line = `{ '${process.execPath}' '${MAIN}' tail -n 9999999; echo "ended $?" >&2; } | head -n 1`
  const piped = await promisify(execFile)('sh', ['-c', line], { cwd: directory })
  t.match(piped, { stdout: /^\S+ {2}event .*\n$/, stderr: 'ended 0\n' })
  const terminal = startAtTerminal(t, 'tail -f -n 1', directory, 80, 24)
  await eventually(() => terminal.output().includes('\u001b[32mdelivered'), 'coloured')
  t.equal(await terminal.interrupt(), 130)
})
