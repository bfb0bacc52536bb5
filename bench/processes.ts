import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { freePort } from '../test/local-server.ts'
import { MAIN } from '../test/main.ts'
import { PATH, SECRET } from './requests.ts'

/** A program under measurement. */
export interface Program {
  readonly port: number
  readonly pid: number
  /** Writes a line to it and reads the one that it answers. */
  ask(line: string): Promise<string>
  /** Ends it in good order. */
  end(): Promise<void>
}

/** All that runs now: what a case that failed has left behind is ended with it. */
const running = new Set<ChildProcess>()

/** Everything that was begun and is to be gone at the end of a case, the last first. */
export class Surroundings {
  readonly #ends: (() => Promise<void> | void)[] = []
  readonly directory = mkdtempSync(join(tmpdir(), 'relay-bench-'))

  later(end: () => Promise<void> | void): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end()
    for (const child of running) {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** A directory for one run. */
  fresh(): string {
    return mkdtempSync(join(this.directory, 'run-'))
  }
}

/** Starts one of `bench/programs` on a free port and waits until it is ready. */
export async function startProgram(name: string, ...args: string[]): Promise<Program> {
  const port = await freePort()
  const file = fileURLToPath(new URL(`./programs/${name}.js`, import.meta.url))
  const child = spawn(process.execPath, [file, String(port), ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)
  await nextLine(lines)
  return programOf(child, port, lines)
}

export interface RelayOptions {
  readonly directory: string
  readonly targets: Targets
  readonly config?: Readonly<Record<string, unknown>>
  /** For the Node that it runs on. */
  readonly nodeArgs?: readonly string[]
  /** Run under this command, such as strace. */
  readonly under?: readonly string[]
}

type Targets = Readonly<Record<string, object>>

/** Two targets that get nothing yet, where what is measured is taking in. */
export const WAITING: Targets = {
  crm: { type: 'http', url: 'http://127.0.0.1:9/crm', paused: true },
  billing: { type: 'http', url: 'http://127.0.0.1:9/billing', paused: true },
}

/** Starts the relay as an operator would, its log thrown away, and waits until it takes requests. */
export async function startRelay(options: RelayOptions): Promise<Program> {
  const { directory, targets, config = {}, nodeArgs = [], under = [] } = options
  const port = await freePort()
  const file = writeConfig(directory, targets, { server: { listen: `127.0.0.1:${port}` }, ...config })
  const [command, ...args] = [...under, process.execPath, ...nodeArgs, MAIN, 'serve', '--config', file]
  const log = openSync(join(directory, 'relay.log'), 'w')
  const child = spawn(command!, args, { stdio: ['ignore', log, log] })
  await listens(port, child)
  return programOf(child, port)
}

/** Starts somebody else's server, and waits until it listens. */
export async function startTool(command: string, args: readonly string[], port: number): Promise<Program> {
  const child = spawn(command, args, { stdio: 'ignore' })
  await listens(port, child)
  return programOf(child, port)
}

/** Runs a command of the relay; throws where it fails. */
export async function command(directory: string, targets: Targets, ...args: string[]): Promise<void> {
  const file = writeConfig(directory, targets)
  const child = spawn(process.execPath, [MAIN, ...args, '--config', file], { stdio: 'ignore' })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
}

function writeConfig(directory: string, targets: Targets, more: object = {}): string {
  const file = join(directory, 'relay.yaml')
  const config = {
    outbox: { path: './relay.db' },
    // The requests are signed once, for all rounds.
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET], path: PATH, tolerance: '24h' } },
    targets,
    routes: [{ events: ['*'], to: Object.keys(targets) }],
    ...more,
  }
  writeFileSync(file, stringify(config))
  return file
}

function programOf(child: ChildProcess, port: number, lines?: Interface): Program {
  running.add(child)
  const ended = once(child, 'close').then(() => running.delete(child))
  return {
    port,
    pid: child.pid!,
    async ask(line) {
      child.stdin!.write(`${line}\n`)
      return nextLine(lines!)
    },
    async end() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function nextLine(lines: Interface): Promise<string> {
  const ended = once(lines, 'close').then(() => Promise.reject(new Error('a program ended before it answered')))
  return ((await Promise.race([once(lines, 'line'), ended])) as [string])[0]
}

/** Resolves when somebody listens on a port. */
async function listens(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs[0]} ended with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const isUp = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isUp) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
