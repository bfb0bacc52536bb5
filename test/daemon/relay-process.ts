import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { MAIN } from '../main.ts'

export { MAIN } from '../main.ts'

/** A line of the relay's log. */
export type LogLine = { readonly msg: string; readonly [field: string]: unknown }

/** What a command came to. */
export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The real daemon in a process of its own. */
export interface RelayProcess {
  readonly process: ChildProcess
  /** Where it listens, such as `http://127.0.0.1:1234`. */
  readonly origin: string
  /** Everything it has logged so far. */
  readonly log: readonly LogLine[]
  readonly stderr: () => string
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Finished>
}

/** For ever, since many a test's events are from 1970. */
const KEPT = { delivered: '36500d', dead: '36500d', rejections: '36500d', keys: '36500d' }

/** Writes a configuration into the test's directory and gives its path. The listener takes any free port. */
export function writeConfig(directory: string, config: Record<string, unknown>): string {
  const file = join(directory, 'relay.yaml')
  const outbox = { path: './relay.db', retention: KEPT }
  writeFileSync(file, stringify({ server: { listen: '127.0.0.1:0' }, outbox, ...config }))
  return file
}

/** Starts the daemon and waits until it listens; throws with its output if it ends before. `uid`: the user it runs as. */
export async function startRelay(
  t: Test,
  config: string,
  env: NodeJS.ProcessEnv = {},
  uid?: number,
  options: readonly string[] = [],
): Promise<RelayProcess> {
  const child = spawnRelay(['serve', '--config', config, ...options], env, dirname(config), uid)
  t.teardown(() => child.kill('SIGKILL'))
  const log: LogLine[] = []
  let stdout = ''
  let stderr = ''
  child.stderr!.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const origin = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout!).on('line', (line) => {
      stdout += `${line}\n`
      const entry = JSON.parse(line) as LogLine
      log.push(entry)
      if (entry.msg === 'relay started') resolve(`http://${entry.listen}`)
    })
    void ended.then(([code]) =>
      reject(new Error(`the relay ended with ${code} before it listened:\n${stdout}${stderr}`)),
    )
  })
  return {
    process: child,
    origin,
    log,
    stderr: () => stderr,
    async end(signal) {
      child.kill(signal)
      const [code, by] = await ended
      return { code, signal: by, stdout, stderr }
    },
  }
}

/** Runs a command of the real binary to its end. */
export async function runRelay(args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const child = spawnRelay(args, env, cwd)
  let stdout = ''
  let stderr = ''
  child.stdout!.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr!.on('data', (chunk) => {
    stderr += chunk
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, stdout, stderr }
}

/** Starts the real binary, and does not wait for anything. */
export function spawnRelay(args: string[], env: NodeJS.ProcessEnv, cwd: string, uid?: number): ChildProcess {
  // Not what the test runner puts into the environment: the relay is to run as it would for a user. The runner adds its
  // hooks to every process that it sees started, so it is `env` that starts this one, in its own place.
  const own = { PATH: process.env.PATH, HOME: process.env.HOME, ...env }
  const variables = Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
  const node = [process.execPath, MAIN, ...args]
  const user = uid === undefined ? {} : { uid, gid: uid }
  return spawn('/usr/bin/env', ['-i', ...variables, ...node], { cwd, stdio: ['ignore', 'pipe', 'pipe'], ...user })
}
