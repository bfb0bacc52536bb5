import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const SOAK = fileURLToPath(new URL('./soak.js', import.meta.url))
const MINUTES = process.env.MINUTES ?? '0.3'

/** Besides: the measurement before, and the calm after. */
const timeout = Number(MINUTES) * 60_000 + 600_000

t.test('a relay under steady load stays as large as it is, and delivers it all', { timeout }, async (t) => {
  const own = ['-i', `PATH=${process.env.PATH}`, `MINUTES=${MINUTES}`, process.execPath, SOAK]
  const soak = spawn('/usr/bin/env', own, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => soak.kill())
  const ended = once(soak, 'exit')
  let promises = 0
  for await (const line of createInterface(soak.stdout)) {
    const [, isKept, promise] = /^(ok|NOT OK) - (.*)$/.exec(line) ?? []
    if (promise === undefined) t.comment(line.replace(/^# /, ''))
    else {
      promises++
      t.equal(isKept, 'ok', promise)
    }
  }
  t.same(await ended, [0, null])
  t.equal(promises, 13)
})
