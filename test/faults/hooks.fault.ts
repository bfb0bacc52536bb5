import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import t from 'tap'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
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
  t.comment(`the longest took ${longest} ms of 1,000 + 2,000 + 2,000`)
})
