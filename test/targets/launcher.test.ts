import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { Launcher } from '../../src/targets/launcher.ts'
import { eventually } from '../eventually.ts'
import { running } from './sample-delivery.ts'

function launcherFor(t: Test) {
  const own = new Launcher(undefined, 100)
  t.teardown(() => own.close())
  const run = (script: string, timeoutMs = 1_000) =>
    own.run({ command: ['/bin/sh', '-c', script], directory: '/', env: {}, input: Buffer.from(''), timeoutMs }, running)
  return run
}

t.test('a launcher that one of its programs has stopped goes on, and so does all that waits for it', async (t) => {
  const run = launcherFor(t)
  // Whatever runs as the same user may do that.
  const [stopped, beside] = await Promise.all([run('kill -STOP $PPID; echo stopped'), run('echo beside')])
  t.match(stopped, { stdout: /stopped/ })
  t.match(beside, { stdout: /beside/ })
  t.match(await run('echo again', 10_000), { early: null, stdout: 'again\n' })
})

/** By what a program does that is not nice. */
const HOOKS: Record<string, [script: string, end: object]> = {
  'closes its input and goes on': ['exec 0<&-; sleep 0.05', { code: 0 }],
  'closes all it has and goes on': ['exec 0<&- 1>&- 2>&-; sleep 0.05', { code: 0 }],
  'ends before it reads': ['exit 7', { code: 7 }],
  'reads a little': ['head -c 10 > /dev/null', { code: 0 }],
  'floods both pipes': ['yes & yes >&2', { early: 'timeout' }],
  'floods both and ignores SIGTERM': ['trap "" TERM; yes & yes >&2; while :; do yes; done', { early: 'timeout' }],
  'stops itself': ['kill -STOP $$', { early: 'timeout' }],
  'stops its group': ['kill -STOP 0', { early: 'timeout' }],
  'kills its group': ['kill -KILL 0', { signal: 'SIGKILL' }],
  'leaves ten in its group': ['for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done', { code: 0, ended: ['sleep'] }],
  'leaves one that ignores SIGTERM': [
    'sh -c "trap \\"\\" TERM; while :; do sleep 1; done" &',
    { code: 0, ended: [/sh|sleep/] },
  ],
  'leaves some that start others all the time': [
    'for i in 1 2 3; do (trap "" TERM; while :; do (sleep 0.05 &); sleep 0.01; done) & done',
    { code: 0, ended: [/sh|sleep/] },
  ],
  'hangs with ten that ignore SIGTERM': [
    'for i in 1 2 3 4 5; do (trap "" TERM; sleep 60; sleep 60) & done; wait',
    { early: 'timeout' },
  ],
  'leaves one outside that holds its pipes': ['setsid sleep 5 &', { code: 0 }],
  'leaves one outside that floods them': ['setsid sh -c "sleep 0.1; yes" &', { code: 0 }],
  'forks twice': ['(setsid sh -c "sleep 0.1" &)', { code: 0 }],
}

t.test('whatever a program does, its run ends in time, and no descriptor stays open', async (t) => {
  const own = new Launcher()
  t.teardown(() => own.close())
  const env = { PATH: process.env.PATH ?? '' }
  const input = Buffer.alloc(300_000, 'x')
  const before = readdirSync('/proc/self/fd').length
  const runs = Object.entries(HOOKS).map(async ([what, [script, end]]) => {
    const command = ['/bin/sh', '-c', script] as const
    // Soon for those that go on for ever, and late enough for the others on a machine that has much else to do.
    const timeoutMs = 'early' in end ? 500 : 30_000
    t.match(await own.run({ command, directory: '/', env, input, timeoutMs }, running), end, what)
  })
  await Promise.all(runs)
  // The channel to the launcher is one.
  await eventually(() => readdirSync('/proc/self/fd').length <= before + 2, 'no descriptor stays open')
})
