import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { sink, sources } from '../daemon/operator-commands.ts'
import { MAIN, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { SOCKET_HOLDER } from './socket-holder.ts'

const CLIENTS = 4
/** They are to be there at each moment of a restart, not to take the machine from it. */
const PAUSE_MS = 5

/** Restarts a relay so often on a socket that somebody else holds, under load; tells what the clients saw. */
export async function restartUnderLoad(t: Test, restarts: number) {
  const directory = scratch(t)
  const file = writeConfig(directory, {
    sources,
    targets: { archive: sink },
    routes: [{ events: ['call.started'], to: ['archive'] }],
  })
  const relay = [process.execPath, MAIN, 'serve', '--config', file]
  // By way of env, so that the test runner does not put its hooks in.
  const own = ['-i', `PATH=${process.env.PATH}`, process.execPath, SOCKET_HOLDER]
  const holder = spawn('/usr/bin/env', [...own, String(restarts + 1), ...relay], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => holder.kill('SIGKILL'))
  const seen = { port: 0, pid: 0, started: [] as string[], stopped: 0 }
  createInterface(holder.stdout!).on('line', (line) => {
    const { port, pid, msg, listen } = JSON.parse(line) as {
      port?: number
      pid?: number
      msg?: string
      listen?: string
    }
    seen.port = port ?? seen.port
    seen.pid = pid ?? seen.pid
    if (msg === 'relay started') seen.started.push(listen!)
    if (msg === 'relay stopped') seen.stopped++
  })
  t.teardown(() => seen.pid > 0 && seen.stopped < seen.started.length && process.kill(seen.pid, 'SIGKILL'))

  await eventually(() => seen.port > 0, 'the socket is there')
  const answers: (number | string)[] = []
  let under = true
  const client = async () => {
    while (under) {
      const answer = send(`http://127.0.0.1:${seen.port}/webhooks/ultravox`, bodyOf('call.ended'))
      answers.push(await answer.then(({ status }) => status, String))
      await sleep(PAUSE_MS)
    }
  }
  // From before the first start: the socket is there, and they wait.
  const clients = Array.from({ length: CLIENTS }, client)
  for (let start = 1; start <= restarts + 1; start++) {
    await eventually(() => seen.started.length === start, `start ${start}`)
    const before = answers.length
    await eventually(() => answers.length > before + 10, 'there is load')
    if (start > restarts) {
      under = false
      await Promise.all(clients)
    }
    process.kill(seen.pid, 'SIGTERM')
  }
  await once(holder, 'close')
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  const stored = database.prepare('select count(*) from event_log').pluck().get() as number
  database.close()
  return { port: seen.port, answers, started: seen.started, stopped: seen.stopped, stored }
}
