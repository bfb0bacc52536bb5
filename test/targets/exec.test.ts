import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createExecTarget, type ExecTargetOptions } from '../../src/targets/exec.ts'
import { Launcher } from '../../src/targets/launcher.ts'
import { eventually } from '../eventually.ts'
import { running, sampleDelivery } from './sample-delivery.ts'

const launcher = new Launcher()
t.teardown(() => launcher.close())

function target(t: Test, command: [string, ...string[]], options: Partial<ExecTargetOptions> = {}) {
  const defaults = { name: 'archive', directory: t.testdirName, timeoutMs: 10_000, env: {}, passEnv: [] }
  t.testdir()
  return createExecTarget({ ...defaults, command, ...options }, launcher)
}

const sh = (t: Test, script: string, options: Partial<ExecTargetOptions> = {}) =>
  target(t, ['/bin/sh', '-c', script], options)
const node = (t: Test, script: string, options: Partial<ExecTargetOptions> = {}) =>
  target(t, [process.execPath, '-e', script], options)

const LEFT_BEHIND =
  'killed processes left in its group (sleep); detach with setsid or systemd-run what should keep running'
const OUTPUT_HELD =
  'closed its output, still held by a process outside its group; redirect the output of what is detached (>/dev/null 2>&1)'

/** Whether a process still runs. One that has ended but was not collected by its parent does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const pidIn = (t: Test, file: string) => Number(readFileSync(join(t.testdirName, file), 'utf8'))
const elapsed = async (work: Promise<unknown>) => {
  const start = performance.now()
  await work
  return performance.now() - start
}

t.test('the payload arrives on stdin byte for byte', async (t) => {
  const body = Buffer.from([0x7b, 0xff, 0x00, 0xfe, 0x0a, 0x7d])
  t.same(await sh(t, 'cat > received').send(sampleDelivery({ body }), running), { kind: 'delivered', status: 0 })
  t.ok(readFileSync(join(t.testdirName, 'received')).equals(body))
})

t.test('arguments reach the program as they are, with no shell in between', async (t) => {
  const exec = target(t, [process.execPath, '-e', 'console.log(process.argv[1])', '$(touch pwned); "*"'])
  t.match(await exec.send(sampleDelivery(), running), { response: '$(touch pwned); "*"\n' })
  t.notOk(existsSync(join(t.testdirName, 'pwned')))
})

t.test('a relative path and the working directory are those of the directory', async (t) => {
  const exec = target(t, ['./save.sh', '--json'])
  writeFileSync(join(t.testdirName, 'save.sh'), '#!/bin/sh\necho "$1 $(pwd)"\n', { mode: 0o755 })
  t.match(await exec.send(sampleDelivery(), running), { response: `--json ${t.testdirName}\n` })
})

t.test('the program sees the allowed environment and nothing else', async (t) => {
  process.env.RELAY_TEST_SECRET = 'sesame'
  process.env.RELAY_TEST_PASSED = 'passed'
  process.env.TZ = 'Asia/Tokyo'
  t.teardown(() => {
    for (const name of ['RELAY_TEST_SECRET', 'RELAY_TEST_PASSED', 'TZ']) delete process.env[name]
  })
  const env = { BUCKET: new Secret('calls'), HOME: new Secret('/nowhere') }
  // tap adds variables of its own to every process that is started under it; with a long PATH they would fill the tail.
  const printed = ['/bin/grep', '-zvE', '^(_TAPJS_|NODE_OPTIONS=)', '/proc/self/environ'] as const
  const exec = target(t, [...printed], { env, passEnv: ['RELAY_TEST_PASSED', 'RELAY_TEST_UNSET'] })
  const outcome = await exec.send(
    sampleDelivery({ via: '0123456789abcdef' }, { target: 'archive', attempts: 1 }),
    running,
  )
  const variables = (outcome as { response: string }).response.split('\ufffd').filter((variable) => variable !== '')
  t.same(Object.fromEntries(variables.map((variable) => variable.split('='))), {
    PATH: process.env.PATH,
    HOME: '/nowhere',
    TZ: 'Asia/Tokyo',
    ...(process.env.LANG !== undefined && { LANG: process.env.LANG }),
    RELAY_TEST_PASSED: 'passed',
    BUCKET: 'calls',
    RELAY_EVENT_ID: '0190b3c4-7a5e-7cc1-9f7e-3b1f5d2a8e11',
    RELAY_EVENT: 'call.ended',
    RELAY_CALL_ID: '3c90c3cc-0d44-4b50-8888-8dd25736052a',
    RELAY_SOURCE: 'ultravox',
    RELAY_TARGET: 'archive',
    RELAY_ATTEMPT: '2',
    RELAY_RECEIVED_AT: '2026-01-15T11:59:58.623Z',
    RELAY_VIA: '0123456789abcdef',
  })
})

t.test('an event name with a NUL or a line break does not break the environment', async (t) => {
  const exec = sh(t, 'printf %s "$RELAY_EVENT/$RELAY_CALL_ID"')
  const outcome = await exec.send(sampleDelivery({ event: 'a\u0000b\nc', callId: null }), running)
  t.match(outcome, { kind: 'delivered', response: 'a%00b%0Ac/' })
})

t.test('the exit code decides', async (t) => {
  t.match(await sh(t, 'exit 0').send(sampleDelivery(), running), { kind: 'delivered', status: 0 })
  t.match(await sh(t, 'exit 65').send(sampleDelivery(), running), { kind: 'refused', status: 65, error: 'exit 65' })
  t.match(await sh(t, 'exit 3').send(sampleDelivery(), running), { kind: 'failed', status: 3, error: 'exit 3' })
})

t.test('the error has the last line of stderr, cut', async (t) => {
  const script = 'echo first >&2; printf "disk\\033full\\n\\n" >&2; exit 3'
  t.match(await sh(t, script).send(sampleDelivery(), running), { error: 'exit 3: disk full', response: /^first\n/ })
  const long = await node(t, 'console.error("😀".repeat(300)); process.exit(3)').send(sampleDelivery(), running)
  t.match(long, { error: `exit 3: ${'😀'.repeat(200)}` })
})

t.test('a program that dies of a signal has failed', async (t) => {
  t.same(await sh(t, 'kill -SEGV $$').send(sampleDelivery(), running), { kind: 'failed', error: 'killed by SIGSEGV' })
})

t.test('a program that cannot be started has failed, and leaves nothing open', async (t) => {
  const open = () => readdirSync('/proc/self/fd').length
  const missing = target(t, ['./missing'])
  // The connection to the launcher is one.
  await sh(t, 'exit 0').send(sampleDelivery(), running)
  const before = open()
  t.same(await missing.send(sampleDelivery(), running), { kind: 'failed', error: 'cannot start: ENOENT ./missing' })
  const plain = target(t, ['./plain'])
  writeFileSync(join(t.testdirName, 'plain'), 'no program')
  t.match(await plain.send(sampleDelivery(), running), { kind: 'failed', error: /^cannot start: EACCES \.\/plain/ })
  const windows = target(t, ['./windows'])
  writeFileSync(join(t.testdirName, 'windows'), '#!/bin/sh\r\n', { mode: 0o755 })
  t.match(await windows.send(sampleDelivery(), running), {
    kind: 'failed',
    error: /^cannot start: ENOENT \.\/windows \(the file is there: its first line asks for an interpreter that is not/,
  })
  const tooBig = target(t, ['/bin/true'], { env: { BIG: new Secret('x'.repeat(4 * 1024 * 1024)) } })
  t.same(await tooBig.send(sampleDelivery(), running), { kind: 'failed', error: 'cannot start: E2BIG /bin/true' })
  await eventually(() => open() <= before, 'no descriptor is left open')
})

t.test('stdout and stderr are told apart where there is both', async (t) => {
  t.match(await sh(t, 'echo out; echo err >&2').send(sampleDelivery(), running), {
    response: 'stdout:\nout\nstderr:\nerr\n',
  })
  t.match(await sh(t, 'printf err >&2').send(sampleDelivery(), running), { response: 'err' })
})

t.test('the last 4 KiB of each stream are kept of a flood, cut between characters', async (t) => {
  const script = `
    const flood = 'é'.repeat(8 * 1024 * 1024) + 'x'
    process.stdout.write(flood)
    process.stderr.write('e'.repeat(5000))
  `
  const outcome = await node(t, script).send(sampleDelivery(), running)
  t.same(outcome, {
    kind: 'delivered',
    status: 0,
    response: `stdout:\n${'é'.repeat(2047)}x\nstderr:\n${'e'.repeat(4096)}`,
  })
})

t.test('a flood costs no memory', async (t) => {
  const peakMb = () => process.resourceUsage().maxRSS / 1024
  const before = peakMb()
  const flood = 'head -c 400000000 /dev/zero; head -c 100000000 /dev/zero >&2'
  t.match(await sh(t, flood, { timeoutMs: 60_000 }).send(sampleDelivery(), running), { kind: 'delivered' })
  const grown = peakMb() - before
  t.ok(grown < 300, `500 MB flowed through, the process grew by ${Math.round(grown)} MB`)
})

t.test('a program that does not read its input does no harm', async (t) => {
  const body = Buffer.alloc(4 * 1024 * 1024, 'x')
  t.match(await sh(t, 'exit 0').send(sampleDelivery({ body }), running), { kind: 'delivered' })
  t.match(await sh(t, 'exec <&-; sleep 0.1; exit 3').send(sampleDelivery({ body }), running), { error: 'exit 3' })
})

t.test('at the timeout the whole group is ended', async (t) => {
  const exec = sh(t, 'sleep 60 & echo $! > child; wait', { timeoutMs: 1_000 })
  const outcome = exec.send(sampleDelivery(), running)
  // An init that is slow to collect orphans makes the group look alive for the whole grace.
  t.ok((await elapsed(outcome)) < 30_000)
  t.same(await outcome, { kind: 'failed', error: 'timeout: killed after 1s', timedOut: true })
  t.notOk(isAlive(pidIn(t, 'child')), 'the grandchild is gone')
})

t.test('a group that ignores SIGTERM is killed two seconds later', async (t) => {
  const exec = sh(t, "trap '' TERM; echo $$ > self; (trap '' TERM; sleep 60) & echo $! > child; wait; sleep 60", {
    timeoutMs: 1_000,
  })
  const outcome = exec.send(sampleDelivery(), running)
  const took = await elapsed(outcome)
  t.ok(took > 2_900 && took < 30_000, `${took} ms`)
  t.match(await outcome, { kind: 'failed', error: /^timeout/ })
  // The kernel takes a moment to end what it was told to kill.
  for (const file of ['self', 'child']) await eventually(() => !isAlive(pidIn(t, file)), `${file} is gone`)
})

t.test(
  'SIGTERM leaves the children of a program the time to clean up, also when the program is gone first',
  async (t) => {
    const child = "trap 'sleep 0.3; touch cleaned; exit' TERM; while :; do sleep 0.05; done"
    const exec = sh(t, `sh -c "${child}" > /dev/null 2>&1 & sleep 60`, { timeoutMs: 1_000 })
    t.match(await exec.send(sampleDelivery(), running), { error: /^timeout/ })
    t.ok(existsSync(join(t.testdirName, 'cleaned')))
  },
)

t.test('what a child prints within a second after its program is kept', async (t) => {
  const outcome = await sh(t, '(sleep 0.1; echo late) & echo early').send(sampleDelivery(), running)
  t.same(outcome, { kind: 'delivered', status: 0, response: 'early\nlate\n' })
})

t.test('a child that leaves the group after its program has ended outlives it, and keeps nothing open', async (t) => {
  const open = () => readdirSync('/proc/self/fd').length
  const late = 'while kill -0 $PPID 2> /dev/null; do sleep 0.01; done; exec setsid sleep 60'
  const ways: Record<string, [script: string, note?: string]> = {
    'as soon as its program is gone': [
      `sh -c '${late.replace('$PPID', '$0')}' $$ < /dev/null > /dev/null 2>&1 & echo $! > child`,
    ],
    'at once': ['setsid sleep 60 < /dev/null > /dev/null 2>&1 & echo $! > child'],
    'with two forks': ["setsid -f sh -c 'echo $$ > new; mv new child; exec sleep 60' > /dev/null 2>&1"],
    'with a zombie left in the group': [
      `sh -c 'true & exec setsid sleep 60' < /dev/null > /dev/null 2>&1 & echo $! > child`,
    ],
    'with the output of its program': ['setsid sleep 60 & echo $! > child', OUTPUT_HELD],
  }
  const before = open()
  for (const [when, [script, note]] of Object.entries(ways)) {
    await t.test(when, async (t) => {
      t.same(await sh(t, script).send(sampleDelivery(), running), {
        kind: 'delivered',
        status: 0,
        ...(note !== undefined && { note }),
      })
      await eventually(() => existsSync(join(t.testdirName, 'child')), 'it is detached')
      t.ok(isAlive(pidIn(t, 'child')))
      process.kill(pidIn(t, 'child'), 'SIGKILL')
    })
  }
  await eventually(() => open() <= before, 'no descriptor is left open')
})

t.test('a child that leaves the group gets all of the input, however late it reads it', async (t) => {
  const body = Buffer.alloc(1024 * 1024, 'x')
  const detached = (script: string) => `exec 3<&0; setsid sh -c '${script}' <&3 3<&- > /dev/null 2>&1 & exec 3<&-`
  t.same(await sh(t, detached('cat > part; mv part received')).send(sampleDelivery({ body }), running), {
    kind: 'delivered',
    status: 0,
  })
  await eventually(() => existsSync(join(t.testdirName, 'received')), 'the child has read to the end')
  t.ok(readFileSync(join(t.testdirName, 'received')).equals(body))

  const late = sh(t, detached('while ! test -e go; do sleep 0.05; done; cat > part; mv part received-late'))
  t.same(await late.send(sampleDelivery({ body }), running), { kind: 'delivered', status: 0 })
  writeFileSync(join(t.testdirName, 'go'), '')
  await eventually(() => existsSync(join(t.testdirName, 'received-late')), 'the child has read to the end')
  t.ok(readFileSync(join(t.testdirName, 'received-late')).equals(body))
})

t.test('the standard streams can be opened by their paths', async (t) => {
  const body = Buffer.from(JSON.stringify({ event: 'call.ended', call: { summary: 'x'.repeat(300_000) } }))
  const digest = createHash('sha256').update(body).digest('hex')
  for (const [script, response] of Object.entries({
    'sha256sum /dev/stdin': `${digest}  /dev/stdin\n`,
    'sha256sum < /dev/stdin': `${digest}  -\n`,
    'x=$(cat /proc/self/fd/0); printf %s "$x" | sha256sum': `${digest}  -\n`,
    'wc -c - /dev/stdin | tail -1': `${2 * body.length} total\n`,
    'head -c 1 > /dev/null; tail -c 1 /dev/stdin': '}',
    'echo out > /dev/stdout; echo more > /dev/stdout': 'out\nmore\n',
    'echo both | tee /dev/stderr': 'stdout:\nboth\nstderr:\nboth\n',
    'echo trouble > /dev/stderr': 'trouble\n',
    'test -f /dev/stdin && test -p /dev/stdout && test -p /dev/stderr && echo as expected': 'as expected\n',
  })) {
    t.same(
      await sh(t, script).send(sampleDelivery({ body }), running),
      { kind: 'delivered', status: 0, response },
      script,
    )
  }
  const read =
    'const fs = require("fs"); console.log([0, "/dev/stdin"].map((from) => fs.readFileSync(from).length).join())'
  t.match(await node(t, read).send(sampleDelivery({ body }), running), { response: `${body.length},${body.length}\n` })
})

t.test('inputs and pipes leave no file behind, and no descriptor', async (t) => {
  const left = () =>
    ['/dev/shm', tmpdir()]
      .flatMap((directory) => readdirSync(directory))
      .filter((name) => /^relay-(input|pipes)-/.test(name))
  const outcome = await sh(t, 'echo $PPID').send(sampleDelivery(), running)
  const pid = (outcome as { response: string }).response.trim()
  const descriptors = () => readdirSync(`/proc/${pid}/fd`).length
  const before = descriptors()
  await Promise.all(Array.from({ length: 100 }, () => sh(t, 'cat').send(sampleDelivery(), running)))
  await Promise.all(Array.from({ length: 20 }, () => target(t, ['/not/there']).send(sampleDelivery(), running)))
  t.same(left(), [])
  await eventually(() => descriptors() <= before + 64, 'pipes in store are all that is left')
})

t.test('what stays in the group of an ended program is told to end, and noted', async (t) => {
  const cleaning = "trap 'touch cleaned; exit' TERM; while :; do sleep 0.05; done"
  const detached = '< /dev/null > /dev/null 2>&1 & echo $! >'
  const hooks = [
    `nohup sleep 60 ${detached} nohup`,
    `sh -c "${cleaning}" ${detached} cleaning`,
    `(sleep 60 ${detached} subshell); exit 3`,
    'echo done; sleep 60 & echo $! > printing',
    `sleep 0.3 ${detached} quick`,
  ].map((script) => sh(t, script))
  const outcomes = await Promise.all(hooks.map((hook) => hook.send(sampleDelivery(), running)))
  t.match(outcomes, [
    { kind: 'delivered', note: LEFT_BEHIND },
    { kind: 'delivered', note: /^killed processes left in its group \((sleep, )?sh(, sleep)?\); / },
    { kind: 'failed', error: 'exit 3', note: LEFT_BEHIND },
    { kind: 'delivered', response: 'done\n', note: LEFT_BEHIND },
    // Over before anything is done about it.
    { kind: 'delivered', note: undefined },
  ])
  t.ok(existsSync(join(t.testdirName, 'cleaned')), 'SIGTERM comes first')
  for (const file of ['nohup', 'cleaning', 'subshell', 'printing', 'quick']) {
    await eventually(() => !isAlive(pidIn(t, file)), `${file} is gone`)
  }
})

t.test('an attempt that is called off after its program has ended is delivered all the same', async (t) => {
  const abort = new AbortController()
  const outcome = sh(t, 'sleep 60 > /dev/null 2>&1 & echo $$ > self').send(sampleDelivery(), abort.signal)
  await eventually(() => existsSync(join(t.testdirName, 'self')) && pidIn(t, 'self') > 0, 'the program runs')
  await eventually(() => !existsSync(`/proc/${pidIn(t, 'self')}`), 'the program has ended')
  abort.abort()
  t.match(await outcome, { kind: 'delivered', note: LEFT_BEHIND })
})

t.test('an attempt that is called off is interrupted, and its group ended', async (t) => {
  const abort = new AbortController()
  const outcome = sh(t, 'sleep 60 & echo $! > child; mv child started; wait').send(sampleDelivery(), abort.signal)
  await eventually(() => existsSync(join(t.testdirName, 'started')), 'the program runs')
  abort.abort()
  t.same(await outcome, { kind: 'interrupted' })
  t.notOk(isAlive(pidIn(t, 'started')))
})

t.test('an attempt that is called off before it begins starts nothing', async (t) => {
  t.same(await sh(t, 'touch started').send(sampleDelivery(), AbortSignal.abort()), { kind: 'interrupted' })
  t.notOk(existsSync(join(t.testdirName, 'started')))
})

t.test('many attempts leave no descriptor, timer, listener or zombie behind', async (t) => {
  const { signal } = new AbortController()
  const exec = sh(t, 'cat > /dev/null; echo done', { timeoutMs: 60_000 })
  const state = () => ({
    descriptors: readdirSync('/proc/self/fd').length,
    timers: process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length,
    children: readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8'),
  })
  await exec.send(sampleDelivery(), signal)
  const before = state()
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 8 }, () => exec.send(sampleDelivery(), signal)))
  }
  await eventually(() => state().descriptors <= before.descriptors, 'no descriptor is left open')
  t.same(state(), before)
  t.same(getEventListeners(signal, 'abort'), [])
})

t.test('a program does not outlive a relay that is killed', async (t) => {
  const directory = t.testdir()
  const source = (file: string) => JSON.stringify(new URL(`../../src/targets/${file}`, import.meta.url).href)
  // `env -i`: a test runner's hooks in it would make a killed process another thing than it is.
  const relay = spawn('/usr/bin/env', [
    '-i',
    process.execPath,
    '--input-type=module',
    '--eval',
    `import { Launcher } from ${source('launcher.js')}
     const command = ['/bin/sh', '-c', 'trap "" TERM; echo $PPID > launcher; echo $$ > pid; sleep 60 & wait']
     const options = { command, directory: ${JSON.stringify(directory)}, env: {}, input: Buffer.from(''), timeoutMs: 60_000 }
     await new Launcher().run(options, new AbortController().signal)`,
  ])
  t.teardown(() => relay.kill('SIGKILL'))
  await eventually(() => existsSync(join(directory, 'pid')) && pidIn(t, 'pid') > 0, 'the program runs')
  relay.kill('SIGKILL')
  await eventually(() => !isAlive(pidIn(t, 'pid')), 'the program is gone')
  await eventually(() => !isAlive(pidIn(t, 'launcher')), 'and the launcher')
})

t.test('when the launcher is killed, its programs have failed and the next one starts another', async (t) => {
  const own = new Launcher()
  t.teardown(() => own.close())
  const run = (script: string) =>
    own.run(
      {
        command: ['/bin/sh', '-c', script],
        directory: t.testdirName,
        env: {},
        input: Buffer.from(''),
        timeoutMs: 60_000,
      },
      running,
    )
  t.testdir()
  // The program's parent is the launcher.
  const failed = t.rejects(run('echo $PPID > launcher; kill -KILL $PPID'), { message: /has ended/ })
  await eventually(() => existsSync(join(t.testdirName, 'launcher')), 'the program runs')
  await failed
  t.match(await run('echo again'), { code: 0, stdout: 'again\n' })
})
