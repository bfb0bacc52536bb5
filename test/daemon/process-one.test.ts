import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { type LogLine, MAIN, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

/** Runs a program as process 1 of a namespace of its own. */
const UNSHARE = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const
const [unshare, ...namespace] = UNSHARE
const problem =
  spawnSync(unshare, [...namespace, 'true']).status === 0 ? false : 'a namespace of its own takes root and unshare'

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

function stateOf(pid: number): string {
  return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!
}

/** Those below a process that have ended and are not reaped. */
function zombiesBelow(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => {
    try {
      return sum + (stateOf(child) === 'Z' ? 1 : 0) + zombiesBelow(child)
    } catch {
      return sum
    }
  }, 0)
}

t.test('as process 1 the relay reaps what hooks leave behind, or says what does', { skip: problem }, async (t) => {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    server: { listen: '127.0.0.1:0', shutdownTimeout: '1s' },
    sources: { ultravox: { scheme: 'ultravox', secrets: ['${WEBHOOK_SECRET}'] } },
    targets: { hook: { type: 'exec', command: ['/bin/sh', '-c', 'sleep 60 >&- 2>&- & sleep 60 >&- 2>&- &'] } },
    routes: [{ events: ['*'], to: ['hook'] }],
  })
  const variables = [`PATH=${process.env.PATH}`, `WEBHOOK_SECRET=${SECRET}`]
  const program = [...UNSHARE, process.execPath, MAIN, 'serve', '--config', config]
  const child: ChildProcess = spawn('/usr/bin/env', ['-i', ...variables, ...program], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const log: LogLine[] = []
  createInterface(child.stdout!).on('line', (line) => log.push(JSON.parse(line) as LogLine))
  const logged = (message: string) => log.filter(({ msg }) => msg.startsWith(message))
  await eventually(() => logged('relay started').length > 0, 'it starts')
  const url = `http://${logged('relay started')[0]!.listen}/webhooks/ultravox`
  for (let n = 0; n < 5; n++) t.equal((await send(url, bodyOf('call.ended'))).status, 204)
  await eventually(() => logged('delivery attempted').length === 5, 'the hooks have run')
  const [init] = childrenOf(child.pid!)

  if ('execve' in process) {
    await eventually(() => zombiesBelow(init!) === 0, 'there is no zombie')
    const environ = readFileSync(`/proc/${init}/environ`, 'utf8')
    t.notOk(environ.includes(SECRET), 'and no secret in the environment of the init')
  } else {
    t.equal(logged('running as process 1').length, 1)
  }
  process.kill(init!, 'SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.equal(logged('relay stopped').length, 1)
})
