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
  const launcher = new Launcher(undefined, 100)
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

/** A launcher with a program that tells its number; `calls` has what it logs. */
async function loggedLauncher(t: Test, overdueMs: number) {
  const directory = scratch(t)
  const calls: string[] = []
  const note = (what: string) => () => void calls.push(what)
  const log = { cannotStart: note('cannot start'), silent: note('silent'), killed: note('killed') }
  const launcher = new Launcher(log, overdueMs, 200)
  t.teardown(() => launcher.close())
  const run = (script: string) => {
    const command = ['/bin/sh', '-c', script] as const
    return launcher.run({ command, directory, env: {}, input: Buffer.from(''), timeoutMs: 3_600_000 }, running)
  }
  await run('echo $PPID > launcher')
  return { run, calls, pid: numberIn(directory, 'launcher') }
}

t.test('a launcher that is stopped is told to go on when a program is to be started', async (t) => {
  const { run, calls, pid } = await loggedLauncher(t, 60_000)
  process.kill(pid, 'SIGSTOP')
  t.match(await run('echo done'), { stdout: 'done\n' })
  t.ok(calls.includes('silent'))
})

t.test('a launcher that does not go on is killed, and the next program has another', async (t) => {
  const { run, calls, pid } = await loggedLauncher(t, 100)
  const stopping = setInterval(() => existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGSTOP'), 1)
  t.teardown(() => clearInterval(stopping))
  process.kill(pid, 'SIGSTOP')
  await t.rejects(run('echo never'), { message: 'the process that starts programs has ended' })
  clearInterval(stopping)
  t.match(calls.slice(-2), ['silent', 'killed'])
})

t.test('a launcher that cannot be started fails programs, once logged, until it can, and can be closed', async (t) => {
  const { execPath } = process
  t.teardown(() => {
    process.execPath = execPath
  })
  // Node throws the one and emits the other.
  for (const [missing, code] of [
    ['/etc/passwd/node', 'ENOTDIR'],
    ['/nonexistent/node', 'ENOENT'],
  ] as const) {
    const problems: string[] = []
    const cannotStart = (problem: string) => void problems.push(problem)
    const launcher = new Launcher({ cannotStart, silent() {}, killed() {} })
    const options = {
      command: ['/bin/echo', 'done'],
      directory: '/',
      env: {},
      input: Buffer.from(''),
      timeoutMs: 60_000,
    } as const
    process.execPath = missing
    launcher.prepare()
    await launcher.close()
    for (let round = 0; round < 2; round++) {
      const error = { message: new RegExp(`^the process that starts programs cannot be started: .*${code}`) }
      await t.rejects(launcher.run(options, running), error)
    }
    await launcher.close()
    t.match(problems, [new RegExp(code)], 'logged once')
    process.execPath = execPath
    t.match(await launcher.run(options, running), { stdout: 'done\n' })
    await launcher.close()
  }
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
