import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createExecTarget } from '../../src/targets/exec.ts'
import { Launcher } from '../../src/targets/launcher.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { running, sampleDelivery } from './sample-delivery.ts'

/** A hook that runs in a directory of its own, where it writes its launcher's number into `launcher`. */
function hook(t: Test, script: string) {
  const directory = scratch(t)
  const launcher = new Launcher(100)
  t.teardown(() => launcher.close())
  const command = ['/bin/sh', '-c', `echo $PPID > new; mv new launcher; ${script}`] as const
  const options = { name: 'archive', command, directory, timeoutMs: 60_000, env: {}, passEnv: [] }
  const target = createExecTarget(options, launcher)
  return { directory, launcher, sent: target.send(sampleDelivery(), running) }
}

const numberIn = (directory: string, file: string) => Number(readFileSync(join(directory, file), 'utf8'))

/** Runs a program in a relay of its own that a shell has prepared, and gives what it prints. */
function printedIn(prepared: string, ...command: [string, ...string[]]): string {
  const launcher = JSON.stringify(new URL('../../src/targets/launcher.js', import.meta.url).href)
  const program = `
    import { Launcher } from ${launcher}
    const launcher = new Launcher()
    const options = { command: ${JSON.stringify(command)}, directory: '/', env: {}, input: Buffer.from(''), timeoutMs: 60_000 }
    const { stdout } = await launcher.run(options, new AbortController().signal)
    process.stdout.write(stdout)
    await launcher.close()`
  const script = `${prepared}; exec env -i '${process.execPath}' --input-type=module -e "$1"`
  return execFileSync('/bin/bash', ['-c', script, 'bash', program], { encoding: 'utf8' })
}

/** How many processes run in a directory, whoever their parent is. */
function runningIn(directory: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      return /^State:\s+[^ZX]/m.test(status) && readlinkSync(`/proc/${pid}/cwd`) === directory
    } catch {
      return false
    }
  }).length
}

const PROGRAMS: Record<string, string> = {
  'a program': 'while :; do sleep 0.05; done',
  'a program with children': 'sleep 60 & sleep 60 & wait',
  'a program that ignores SIGTERM': 'trap "" TERM; while :; do sleep 0.05; done',
  'children of a program that has ended': '(while :; do sleep 0.05; done) & exec >&- 2>&-; sleep 0.2',
}

for (const [what, script] of Object.entries(PROGRAMS)) {
  t.test(`${what} does not outlive an attempt whose launcher is killed`, async (t) => {
    const { directory, sent } = hook(t, script)
    await eventually(() => existsSync(join(directory, 'launcher')), 'it runs')
    process.kill(numberIn(directory, 'launcher'), 'SIGKILL')
    t.match(await sent, { kind: 'failed', error: 'the process that starts programs has ended' })
    t.equal(runningIn(directory), 0, 'a retry runs beside nothing')
  })
}

t.test('nor does one that kills the launcher as soon as it is started', async (t) => {
  for (let round = 0; round < 5; round++) {
    const { directory, sent } = hook(t, 'kill -KILL $PPID; while :; do sleep 0.05; done')
    t.match(await sent, { kind: 'failed', error: 'the process that starts programs has ended' })
    t.equal(runningIn(directory), 0)
  }
})

t.test('a launcher that is stopped can be closed', async (t) => {
  const { directory, launcher, sent } = hook(t, 'exit 0')
  await sent
  process.kill(numberIn(directory, 'launcher'), 'SIGSTOP')
  await launcher.close()
  t.notOk(existsSync(`/proc/${numberIn(directory, 'launcher')}`))
})

t.test('a program inherits no descriptor that the relay was started with', (t) => {
  // Node itself looks after those up to the first gap after 15.
  const stdout = printedIn('exec 3</dev/null 9</dev/null 20</dev/null', '/bin/ls', '/proc/self/fd')
  // 3 is its look into the directory.
  t.same(stdout.trim().split('\n'), ['0', '1', '2', '3'])
  t.end()
})

t.test('a program inherits no raised file limit, ignored signal, signal mask or terminal', (t) => {
  const hard = 4096
  const prepared = `ulimit -Sn ${hard}; ulimit -Hn ${hard}; trap '' PIPE HUP TERM INT USR1`
  const script = 'ulimit -Sn; ulimit -Hn; ulimit -Sn 2000 && ulimit -Sn; cat /proc/self/status /proc/self/stat'
  const stdout = printedIn(prepared, '/bin/sh', '-c', script)
  // select(2) ends at 1,024; a program that can do without may raise its limit again.
  t.match(stdout, new RegExp(`^1024\n${hard}\n2000\n`))
  t.match(stdout, /^SigIgn:\t0+$/m)
  t.match(stdout, /^SigBlk:\t0+$/m)
  t.match(stdout, /\) \S \d+ \d+ \d+ 0 /, 'no controlling terminal')
  t.end()
})
