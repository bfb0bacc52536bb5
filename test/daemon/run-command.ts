import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Finished } from './relay-process.ts'

const HOST = fileURLToPath(new URL('./command-host.js', import.meta.url))

/** A command for the host: what a process of its own would be started with. */
export interface HostedCommand {
  readonly id: number
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
}

/** What came of it. */
export interface HostedEnd {
  readonly id: number
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let host: ChildProcess | undefined
let commands = 0

/**
 * Runs a command of the relay to its end like `runRelay`, but in one process that all such commands of a test file share,
 * one after the other: most of what a command costs is starting Node and loading the program. For commands that end by
 * themselves and read no standard input. That both ways tell the same, `run-command.test.ts` checks.
 */
export async function runCommand(args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  host ??= startHost()
  const { PATH, HOME } = process.env
  const id = ++commands
  const end = new Promise<Finished>((resolve, reject) => {
    const died = () => reject(new Error(`the command host ended during ${args.join(' ')}`))
    const answered = ({ id: of, code, stdout, stderr }: HostedEnd) => {
      if (of !== id) return
      host!.off('message', answered).off('exit', died)
      resolve({ code, signal: null, stdout, stderr })
    }
    host!.on('message', answered).on('exit', died)
  })
  host.send({ id, args, cwd, env: { PATH, HOME, TZ: 'UTC', ...env } } satisfies HostedCommand)
  return end
}

function startHost(): ChildProcess {
  // Started by `env` so that the test runner does not put its hooks into it, see `spawnRelay`.
  const child = spawn('/usr/bin/env', ['-u', 'NODE_OPTIONS', process.execPath, HOST], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.setMaxListeners(0)
  t.teardown(() => child.kill())
  return child
}
