import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Launcher } from '../../src/targets/launcher.ts'
import { commandsIn } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { running } from '../targets/sample-delivery.ts'
import { memoryOf } from './memory.ts'

const HOOKS = Number(process.env.HOOKS ?? 1_000)

/** By turns: what programs do that is not nice, and some that are. A piece of one's own in each tells which are this test's. */
const SCRIPT = `
case $(($(echo "$RELAY_CALL_ID" | sed 's/call-//') % 20)) in
  0) exec 0<&- 1>&- 2>&- ;;
  1) exit 3 ;;
  2) head -c 10 > /dev/null ;;
  3) for i in 1 2 3; do sleep 60 & done ;;
  4) (setsid sh -c 'sleep 0.2' &) ;;
  5) setsid sleep 0.5 & ;;
  6) head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2 ;;
  7) kill -KILL $$ ;;
  8) kill -STOP $$ ;;
  9) trap '' TERM; sleep 60 & wait; sleep 60 ;;
  *) cat > /dev/null ;;
esac
`

/** The processes below one, itself included, as far as they have not left it. */
function processesOf(pid: number): number[] {
  const below = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return [pid, ...(below === '' ? [] : below.split(' ')).flatMap((child) => processesOf(Number(child)))]
}

/** All processes that run in a directory, whoever their parent is. */
function processesIn(directory: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readlinkSync(`/proc/${pid}/cwd`) === directory
      } catch {
        return false
      }
    })
}

t.test('a thousand programs, some of them hostile, leave nothing behind', { timeout: 280_000 }, async (t) => {
  const directory = scratch(t)
  const config = {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      hooks: {
        type: 'exec',
        command: ['/bin/sh', '-c', SCRIPT],
        timeout: '1s',
        concurrency: 16,
        retry: { maxAttempts: 1 },
        breaker: { failures: 1_000_000 },
      },
    },
    routes: [{ events: ['*'], to: ['hooks'] }],
  }
  const relay = await startRelay(t, writeConfig(directory, config))
  const tried = () => relay.log.filter(({ msg }) => msg === 'delivery attempted')
  const post = (n: number) => send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', `call-${n}`))
  await post(19)
  await eventually(() => tried().length === 1, 'the launcher runs')
  const family = processesOf(relay.process.pid!)
  const open = () => family.map((pid) => readdirSync(`/proc/${pid}/fd`).length)
  const before = { open: open(), memory: family.map(memoryOf) }

  for (let n = 20; n < HOOKS + 20; n++) await post(n)
  await eventually(() => tried().length === HOOKS + 1, 'all have ended', 240_000)
  await eventually(() => processesIn(directory).length <= family.length, 'nothing runs any more', 20_000)
  t.same(processesOf(relay.process.pid!), family, 'no process and no zombie is left')
  // A connection or two of the sender may be open still.
  await eventually(() => open().every((count, i) => count <= before.open[i]! + 1), 'no descriptor is left open', 20_000)
  const outcomes: Record<string, number> = {}
  for (const { outcome, error } of tried()) {
    const what = `${outcome}${error === undefined ? '' : ` ${String(error).split(':')[0]}`}`
    outcomes[what] = (outcomes[what] ?? 0) + 1
  }
  t.comment(`${HOOKS} programs: ${JSON.stringify(outcomes)}`)
  t.comment(`descriptors of relay and launcher: ${before.open} before, ${open()} after`)
  t.comment(`memory: ${JSON.stringify(before.memory)} before, ${JSON.stringify(family.map(memoryOf))} after, in MB`)
  t.equal(family.length, 2)
  const longest = Math.max(...tried().map(({ ms }) => ms as number))
  t.comment(`the longest took ${longest} ms of 1,000 + 3,000 + 2,000 + 1,000`)
})

t.test(
  'jobs that detach from their hooks all run, and those that do not are noted',
  { timeout: 120_000 },
  async (t) => {
    const directory = scratch(t)
    writeFileSync(join(directory, 'job.sh'), '#!/bin/sh\nsleep "$1"\necho "$2" >> ran\n', { mode: 0o755 })
    const hook = (job: string) => ({
      type: 'exec',
      command: ['/bin/sh', '-c', `cat > /dev/null; ${job} > /dev/null 2>&1 < /dev/null &`],
      concurrency: 8,
    })
    const config = {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { detached: hook('setsid ./job.sh 0.5 detached'), left: hook('nohup ./job.sh 60 left') },
      routes: [
        { events: ['call.ended'], to: ['detached'] },
        { events: ['call.joined'], to: ['left'] },
      ],
    }
    const relay = await startRelay(t, writeConfig(directory, config))
    const url = `${relay.origin}/webhooks/ultravox`
    for (let n = 0; n < 60; n++) await send(url, bodyOf('call.ended', `call-${n}`))
    for (let n = 0; n < 10; n++) await send(url, bodyOf('call.joined', `call-${n}`))
    const tried = () => relay.log.filter(({ msg }) => msg === 'delivery attempted')
    await eventually(() => tried().length === 70, 'all have ended', 60_000)
    const ran = () => (existsSync(join(directory, 'ran')) ? readFileSync(join(directory, 'ran'), 'utf8') : '')
    await eventually(() => ran() === 'detached\n'.repeat(60), '60 of 60 jobs run', 20_000)
    const left = tried().filter(({ target }) => target === 'left')
    t.equal(left.length, 10)
    for (const { note, outcome, level } of left) {
      t.match(
        { note, outcome, level },
        { note: /^killed processes left in its group \(.*sleep/, outcome: 'delivered', level: 'warn' },
      )
    }
    t.ok(tried().every(({ target, note }) => target === 'left' || note === undefined))
    const { run, json } = commandsIn(directory)
    const shown = { code: 0, stdout: /NOTE\n.*killed processes left in its group/ }
    t.match(await run('events show', String(left[0]!.eventId)), shown)
    t.match(await run('deliveries show', String(left[0]!.deliveryId)), shown)
    t.match(await json('deliveries show', String(left[0]!.deliveryId)), { history: [{ note: /^killed/, error: null }] })
  },
)

t.test('more programs at once than the lowered file limit allows', { timeout: 120_000 }, async (t) => {
  const directory = scratch(t)
  const launcher = new Launcher()
  t.teardown(() => launcher.close())
  const rest = { directory, env: { PATH: process.env.PATH! }, input: Buffer.from(''), timeoutMs: 100_000 }
  const run = (script: string) => launcher.run({ command: ['/bin/sh', '-c', script], ...rest }, running)
  t.match(await run('ulimit -Sn'), { stdout: '1024\n' })
  const all = Array.from({ length: 400 }, () => run('while [ ! -e go ]; do sleep 0.5; done'))
  t.match(await run('ulimit -Sn; touch go'), { stdout: /^2\d{3}\n$/ })
  t.ok((await Promise.all(all)).every(({ code }) => code === 0))
})
