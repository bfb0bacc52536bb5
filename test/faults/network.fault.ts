import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer, tcpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { HOSTILE_ANSWERS } from '../targets/hostile-answers.ts'
import { memoryOf } from './memory.ts'

const EVENTS = Number(process.env.NETWORK_EVENTS ?? 200)
const SILENT_NAMES = Number(process.env.SILENT_NAMES ?? 10)
const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }

t.test(
  'beside targets that do everything wrong, a sound one gets its events, in bounded memory',
  { timeout: 240_000 },
  async (t) => {
    const sentAt = new Map<string, number>()
    const took: number[] = []
    const sink = await httpServer(t, (response, { body }) => {
      response.end()
      took.push(performance.now() - sentAt.get(JSON.parse(body.toString()).call.callId)!)
    })
    const limits = {
      timeout: '2s',
      concurrency: 2,
      breaker: { failures: 1_000_000 },
      retry: { initialDelay: '1s', factor: 1 },
    }
    const hostile = await Promise.all(
      Object.values(HOSTILE_ANSWERS).map(async ({ answer }, n) => {
        const { origin } = await tcpServer(t, (socket) =>
          socket.on('data', () => {}).once('data', () => answer(socket)),
        )
        return [`hostile-${n}`, { type: 'http', url: origin, ...limits }] as const
      }),
    )
    const targets = { sound: { type: 'http', url: sink.origin }, ...Object.fromEntries(hostile) }
    const config = { sources, targets, routes: [{ events: ['*'], to: Object.keys(targets) }] }
    const relay = await startRelay(t, writeConfig(scratch(t), config))
    const before = memoryOf(relay.process.pid!)
    for (let n = 0; n < EVENTS; n++) {
      const callId = `call-${n}`
      sentAt.set(callId, performance.now())
      t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', callId))).status, 204)
    }
    await eventually(() => took.length === EVENTS, 'all have arrived at the sound target', 120_000)
    const tried = () => relay.log.filter(({ msg, target }) => msg === 'delivery attempted' && target !== 'sound')
    await eventually(
      () => new Set(tried().map(({ target }) => target)).size === hostile.length,
      'all were tried',
      60_000,
    )
    const attempts = tried()
    const after = memoryOf(relay.process.pid!)
    took.sort((a, b) => a - b)
    const longest = Math.max(...attempts.map(({ ms }) => ms as number))
    t.comment(
      `${hostile.length} hostile targets, ${EVENTS} events, ${attempts.length} hostile attempts, the longest ${longest} ms of 2,000`,
    )
    t.comment(`sound target: p50 ${Math.round(took[EVENTS >> 1]!)} ms, longest ${Math.round(took.at(-1)!)} ms`)
    t.comment(`memory: ${before.now} MB before, ${after.now} MB after, ${after.most} MB at most`)
    // All hostile servers live in this process, on the same two cores: this is no measure of time, only of an end.
    t.ok(longest < 10_000, 'each attempt ended')
    t.ok(after.most < 500, 'memory is bounded')
    const unhelpful = attempts.filter(
      ({ error, outcome }) => outcome !== 'delivered' && /unknown|undefined|UND_ERR|ASSERT/.test(String(error)),
    )
    t.same(unhelpful, [])
  },
)

/** Whether this may have a network and mounts of its own. */
async function mayUnshare(): Promise<boolean> {
  return promisify(execFile)('unshare', ['-n', '-m', 'true']).then(
    () => true,
    () => false,
  )
}

/** Runs a program in a network of its own, with these name servers, and returns what it prints. */
async function runWithNameServers(t: Test, servers: string[], name: string, args: number[]) {
  const resolv = join(scratch(t), 'resolv.conf')
  writeFileSync(resolv, servers.map((server) => `nameserver ${server}\n`).join(''))
  const program = fileURLToPath(new URL(`./${name}.js`, import.meta.url))
  const inside = `mount --bind "$0" /etc/resolv.conf && ip link set lo up && exec "$@"`
  const command = ['-n', '-m', 'sh', '-c', inside, resolv, process.execPath, program, ...args.map(String)]
  // Without the runner's hooks: see `spawnRelay`.
  const own = ['-i', `PATH=${process.env.PATH}`, `HOME=${process.env.HOME}`, 'unshare', ...command]
  const { stdout } = await promisify(execFile)('/usr/bin/env', own)
  return JSON.parse(stdout) as Record<string, number & string[]>
}

const skip = !(await mayUnshare()) && 'not root'

t.test('name servers that are silent hold up nobody else, and not the end', { timeout: 240_000, skip }, async (t) => {
  const measure = (silent: number) => runWithNameServers(t, ['127.0.0.1'], 'dns-run', [silent, 60])
  const [without, beside] = [await measure(0), await measure(SILENT_NAMES)]
  for (const [what, { p50, longest }] of Object.entries({
    alone: without,
    [`beside ${SILENT_NAMES} silent names`]: beside,
  })) {
    t.comment(`a target with a good name, ${what}: p50 ${p50!.toFixed(1)} ms, longest ${longest!.toFixed(1)} ms`)
  }
  const expected = Array.from({ length: SILENT_NAMES }, (_, n) => `dns: no answer within 1.5s for silent-${n}.test`)
  t.same(beside.silent!.sort(), expected.sort())
  t.match(beside.nowhere, [/^dns: ENOTFOUND nowhere\.test/])
  t.ok(beside.longest! < 5_000, 'no event waited for a look-up of another')
  t.ok(beside.endMs! < 6_000, `it ended in ${Math.round(beside.endMs!)} ms`)
})

t.test('a silent first name server makes no attempt fail', { timeout: 240_000, skip }, async (t) => {
  const run = await runWithNameServers(t, ['127.0.0.1', '127.0.0.2'], 'slow-dns-run', [10, 5, 3_000])
  t.comment(`${run.attempts} attempts, the longest ${run.longestAttemptMs} ms, ${run.questions} questions`)
  t.match(run, { attempts: 50, failed: 0, errors: [], opened: 0 })
})

t.test('a name server that drops questions for IPv6 makes no attempt fail', { timeout: 240_000, skip }, async (t) => {
  const run = await runWithNameServers(t, ['127.0.0.2'], 'slow-dns-run', [15, 2, 1_000, 1])
  t.comment(`${run.attempts} attempts, the longest ${run.longestAttemptMs} ms`)
  t.match(run, { attempts: 30, failed: 0, errors: [], opened: 0 })
})
