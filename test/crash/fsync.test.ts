import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { scratch } from '../scratch.ts'
import { attachStrace, readTrace, type SystemCall, straceProblem } from './strace.ts'

const SINGLE = Number(process.env.SINGLE ?? 10)
const BATCHES = Number(process.env.BATCHES ?? 2)
const AT_ONCE = 32

const CALLS = 'trace=read,write,writev,pwrite64,fsync,fdatasync'
/** A page of the database has 4096 bytes, some of which take four characters. */
const TRACE = ['-yy', '-s', '5000', '-e', CALLS]

async function relayWithPausedTarget(t: Test) {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'], paused: true } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const start = () => startRelay(t, config)
  return { directory, start, relay: await start() }
}

/**
 * What is wrong with the answers in a trace, and how many there are, after how many fsyncs. For each 204 the first write that
 * holds its event has to be over before an fsync of the log begins, which has to be over before the answer begins. The first, for
 * later transactions write the same pages again, with their own events beside it.
 */
function examine(calls: readonly SystemCall[]) {
  const problems: string[] = []
  const asked = new Map<string, string>()
  const toLog = calls.filter(({ args }) => args.includes('-wal>'))
  const written = toLog.filter(({ name }) => name === 'pwrite64')
  const synced = toLog.filter(({ name, args }) => /^f(data)?sync$/.test(name) && / = 0$/.test(args))
  const used = new Set<SystemCall>()
  let answers = 0
  for (const call of calls) {
    const connection = call.args.match(/TCP:\[[^\]]+\]/)?.[0]
    if (connection === undefined) continue
    const callId = call.args.match(/call-of-trace-\d+-/)?.[0]
    if (call.name === 'read' && callId !== undefined) asked.set(connection, callId)
    if (!call.name.startsWith('write') || !call.args.includes('HTTP/1.1 204')) continue
    answers += 1
    const own = asked.get(connection)
    const frames = written.filter(({ args, startedAt }) => startedAt < call.startedAt && args.includes(own!))
    const first = Math.min(...frames.map(({ endedAt }) => endedAt))
    const sync = synced.find(({ startedAt, endedAt }) => startedAt > first && endedAt < call.startedAt)
    if (own === undefined || frames.length === 0) problems.push(`${own}: its event was never written`)
    else if (sync === undefined) problems.push(`${own}: answered before it was on disk`)
    else used.add(sync)
  }
  return { problems, answers, syncs: used.size }
}

let number = 0
const bodies = (count: number) =>
  Array.from({ length: count }, () => bodyOf('call.ended', `call-of-trace-${++number}-`))

t.test('each answer is written after the fsync of the log that holds its event', async (t) => {
  const problem = straceProblem()
  if (problem !== null) return t.plan(0, problem)
  const { directory, relay } = await relayWithPausedTarget(t)
  const url = `${relay.origin}/webhooks/ultravox`

  /** Sends these, some at once, and looks at what the relay did meanwhile. */
  async function traced(name: string, batches: Buffer[][]) {
    const trace = join(directory, name)
    const strace = await attachStrace(t, relay.process.pid!, [...TRACE, '-o', trace])
    for (const batch of batches) {
      const answers = await Promise.all(batch.map((body) => send(url, body)))
      t.ok(answers.every(({ status }) => status === 204))
    }
    await strace.detach()
    const result = examine(readTrace(trace))
    t.same(result.problems, [])
    t.equal(result.answers, batches.flat().length, 'every answer was seen')
    return result
  }

  const single = await traced(
    'single',
    bodies(SINGLE).map((body) => [body]),
  )
  t.equal(single.syncs, SINGLE, 'one by one, each has its own')
  const shared = await traced(
    'shared',
    Array.from({ length: BATCHES }, () => bodies(AT_ONCE)),
  )
  t.ok(shared.syncs < shared.answers, 'many at once share them')
  t.comment(`${single.answers} answers one by one after ${single.syncs} fsyncs`)
  t.comment(`${shared.answers} answers, ${AT_ONCE} at once, after ${shared.syncs} fsyncs`)
})

t.test('an answer before the fsync would be found', async (t) => {
  const lines = (...order: string[]) => order.map((args, at) => ({ ...parsed(args), startedAt: at, endedAt: at }))
  const parsed = (line: string) => ({ name: line.slice(0, line.indexOf('(')), args: line.slice(line.indexOf('(') + 1) })
  const [read, page, sync, answer] = [
    'read(20<TCP:[1:1->1:2]>, "call-of-trace-1-"..., 99) = 9',
    'pwrite64(9</relay.db-wal>, "call-of-trace-1-", 4096, 56) = 4096',
    'fdatasync(9</relay.db-wal>) = 0',
    'write(20<TCP:[1:1->1:2]>, "HTTP/1.1 204 No Content"..., 99) = 99',
  ]
  t.same(examine(lines(read, page, sync, answer)).problems, [])
  t.match(examine(lines(read, page, answer, sync)).problems, [/before it was on disk/])
  t.match(examine(lines(read, sync, page, answer)).problems, [/before it was on disk/])
  t.match(examine(lines(read, sync, answer)).problems, [/never written/])
  t.match(examine(lines(read, page, sync.replace('= 0', '= -1 EIO'), answer)).problems, [/before it was on disk/])
})

t.test('after an fsync that failed nothing is acknowledged, and what it left is written anew', async (t) => {
  const problem = straceProblem()
  if (problem !== null) return t.plan(0, problem)
  const { directory, start, relay } = await relayWithPausedTarget(t)
  // A reader keeps the relay from checkpointing: the next commit would begin the WAL once more, and fail with its header alone in it.
  const reader = openDatabase(join(directory, 'relay.db'))
  reader.exec('begin; select count(*) from events')
  const before = bodyOf('call.ended', 'before')
  t.equal((await send(`${relay.origin}/webhooks/ultravox`, before)).status, 204)
  await attachStrace(t, relay.process.pid!, ['-o', '/dev/null', '-e', 'inject=fsync,fdatasync:error=EIO'])
  reader.close()
  const failing = bodies(AT_ONCE)
  const sent = failing.map((body) => send(`${relay.origin}/webhooks/ultravox`, body))
  const answers = await Promise.allSettled(sent)
  t.same(
    answers.filter((answer) => answer.status === 'fulfilled' && answer.value.status < 400),
    [],
  )
  t.match(await relay.end('SIGCONT'), { code: 1, stdout: /SQLITE_IOERR_FSYNC .*the kernel says why/ })

  const again = await start()
  // The log alone is not to be trusted for what was not acknowledged: its pages may be in memory only.
  copyFileSync(join(directory, 'relay.db'), join(directory, 'alone.db'))
  const alone = openDatabase(join(directory, 'alone.db'), { readonly: true })
  t.teardown(() => alone.close())
  const left = alone.prepare("select count(*) from events where call_id like 'call-of-trace-%'").pluck().get() as number
  t.ok(left > 0, 'what came back from the log is in the database')
  for (const body of [before, ...failing]) {
    t.equal(
      (await send(`${again.origin}/webhooks/ultravox`, body)).status,
      204,
      'and is acknowledged when it comes again',
    )
  }
})
