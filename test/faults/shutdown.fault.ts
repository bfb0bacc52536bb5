import { readFileSync } from 'node:fs'
import t from 'tap'
import { attachStrace, straceProblem } from '../crash/strace.ts'
import { takingRelay } from '../crash/taking.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'

/** Far longer than a shutdown may take. */
const STUCK_US = 600_000_000

t.test('a relay whose disk does not answer ends all the same', { timeout: 120_000 }, async (t) => {
  const problem = straceProblem()
  if (problem !== null) return t.plan(0, problem)
  const outbox = takingRelay(t, scratch(t))
  const relay = await outbox.start()
  await outbox.take(relay.origin, 8)
  await attachStrace(t, relay.process.pid!, ['-o', '/dev/null', '-e', `inject=fsync,fdatasync:delay_enter=${STUCK_US}`])
  const status = readFileSync(`/proc/${relay.process.pid}/status`, 'utf8')
  const tracer = Number(/^TracerPid:\s+(\d+)$/m.exec(status)![1])
  const ended = relay.end('SIGTERM')
  await eventually(() => relay.log.some(({ msg }) => msg.startsWith('shutdown timed out')), 'it gives up', 60_000)
  // A thread that strace holds up has to be let go to be killed.
  process.kill(tracer, 'SIGKILL')
  t.match(await ended, { code: null, signal: 'SIGKILL' })
  const again = await outbox.start()
  outbox.assertAllThere(t)
  t.same(await outbox.take(again.origin, 1), [204])
})
