import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { fileSystemName, mountAbove } from '../file-system.ts'
import { VERSION } from '../version.ts'
import { ConfigError } from './problem.ts'
import {
  type Answers,
  type FromReader,
  type Kind,
  pack,
  type Requests,
  type ToReader,
  unpack,
} from './reader-protocol.ts'

/** How long one file may take to open and read. */
const SILENCE_MS = 10_000
/** Bound on a whole answer, in milliseconds; shorter than the timeout of `reload`. */
const PATIENCE_MS = 25_000
/** How long the process stays after its last answer. */
const IDLE_MS = 10_000
/** How long a process that was killed may take to end, where the kernel lets it go. */
const EXIT_MS = 1_000

/** `getent` needs PATH; the others decide which certificates and keys OpenSSL accepts. */
const INHERITED: ReadonlySet<string> = new Set(['PATH', 'NODE_OPTIONS', 'OPENSSL_CONF', 'OPENSSL_MODULES'])
const OF_OPENSSL = /^--(tls-|openssl-|enable-fips|force-fips)/

interface Pending {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
  /** The file that is being read. */
  at: string | null
  /** The file that links at it lead to. */
  file: string | null
  silence: NodeJS.Timeout | undefined
  readonly patience: NodeJS.Timeout
}

/**
 * Reads what the configuration is made of in a process of its own. On a hung mount a call of the system never returns: here it
 * would stop the whole relay, in a thread of libuv it would take the place of name lookups and keep the relay from exiting. The process is
 * started when it is needed, keeps nothing alive, and is killed when a file does not answer.
 */
export class ConfigReader {
  readonly #silenceMs: number
  #process: ChildProcess | undefined
  /** Why a process was killed that has not ended yet: one that the kernel does not let go is enough. */
  #stuck: { readonly problem: string; readonly ended: Promise<unknown> } | undefined
  #pending: Pending | undefined
  #idle: NodeJS.Timeout | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(silenceMs = SILENCE_MS) {
    this.#silenceMs = silenceMs
  }

  /**
   * Answers one request after the other. Rejects with `ConfigError` for a configuration that is wrong, with `config_invalid` where a
   * file does not answer in time or the process cannot run, with `daemon_unreachable` once `close` was called.
   */
  ask<K extends Kind>(kind: K, request: Requests[K]): Promise<Answers[K]> {
    const answer = this.#turn.then(() => this.#answer(kind, request))
    this.#turn = answer.catch(() => {})
    return answer as Promise<Answers[K]>
  }

  /** Ends the process, whatever it waits for. */
  close(): void {
    this.#isClosed = true
    this.#kill()
    this.#settle()?.reject(closed())
  }

  async #answer<K extends Kind>(kind: K, request: Requests[K]): Promise<unknown> {
    if (this.#stuck !== undefined) await Promise.race([this.#stuck.ended, sleep(EXIT_MS)])
    if (this.#isClosed) throw closed()
    if (this.#stuck !== undefined) throw failed(this.#stuck.problem)
    clearTimeout(this.#idle)
    this.#process ??= this.#started()
    const child = this.#process
    child.ref()
    child.channel?.ref()
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => this.#giveUp(PATIENCE_MS), PATIENCE_MS)
      this.#pending = { resolve, reject, at: null, file: null, silence: undefined, patience }
      if (child.connected) child.send({ version: VERSION, kind, request: pack(request) } satisfies ToReader)
    })
  }

  /** Node throws some errors of a start, such as ENOMEM and EPERM, and emits others, such as EAGAIN. */
  #started(): ChildProcess {
    try {
      return this.#start()
    } catch (error) {
      throw cannotRun(startProblem(error))
    }
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(new URL('./reader-process.js', import.meta.url)), {
      // What a configuration refers to is sent: everybody of this user can see the environment of a process.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => INHERITED.has(name))),
      execArgv: ['--max-semi-space-size=1', ...process.execArgv.filter((option) => OF_OPENSSL.test(option))],
      // Signals to the relay's process group, such as Ctrl-C and what a shell sends at its end, must not end it while it starts.
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    child.on('message', (message: FromReader) => this.#receive(child, message))
    child.on('error', (error) => this.#lose(child, startProblem(error)))
    child.on('exit', (code, signal) => {
      this.#lose(child, signal === null ? `it ended with ${code}; ${RESTART}` : `it ended with ${signal}`)
    })
    return child
  }

  #receive(child: ChildProcess, message: FromReader): void {
    if (this.#process !== child || this.#pending === undefined) return
    if ('at' in message) {
      this.#watch(this.#pending, message)
      return
    }
    const { resolve, reject } = this.#settle()!
    if ('answer' in message) resolve(unpack(message.answer))
    else reject('problems' in message ? new ConfigError(message.problems) : failed(message.failed))
    child.unref()
    child.channel?.unref()
    this.#idle = setTimeout(() => this.#kill(), IDLE_MS).unref()
  }

  #watch(pending: Pending, { at, file }: Pick<Pending, 'at' | 'file'>): void {
    clearTimeout(pending.silence)
    pending.silence = undefined
    Object.assign(pending, { at, file })
    if (at === null) return
    const silence = setTimeout(() => {
      // Where this process was held up, the answer may be there already.
      setImmediate(() => pending.silence === silence && this.#pending === pending && this.#giveUp(this.#silenceMs))
    }, this.#silenceMs)
    pending.silence = silence
  }

  #giveUp(afterMs: number): void {
    const { at, file, reject } = this.#settle()!
    const seconds = `${afterMs / 1_000} s`
    const problem =
      at === null
        ? `the process that reads the configuration has not answered for ${seconds}: is the machine overloaded?`
        : `${named(at, file)} has not answered for ${seconds}: see whether its file system hangs${placeOf(file ?? at)}`
    const child = this.#process
    const ended = new Promise((resolve) => child?.once('exit', resolve))
    if (child !== undefined) this.#stuck = { problem, ended }
    this.#kill()
    reject(failed(problem))
  }

  #kill(): void {
    clearTimeout(this.#idle)
    const child = this.#process
    this.#process = undefined
    if (child === undefined) return
    child.unref()
    child.channel?.unref()
    child.kill('SIGKILL')
  }

  #lose(child: ChildProcess, why: string): void {
    if (this.#process !== child) {
      this.#stuck = undefined
      return
    }
    this.#process = undefined
    this.#settle()?.reject(cannotRun(why))
  }

  #settle(): Pending | undefined {
    const pending = this.#pending
    this.#pending = undefined
    clearTimeout(pending?.silence)
    clearTimeout(pending?.patience)
    return pending
  }
}

function named(path: string, file: string | null): string {
  return file === null || file === path ? path : `${path} (a symbolic link to ${file})`
}

/** By its name alone: a call of the system with this path would not return. */
function placeOf(path: string): string {
  const found = mountAbove(path)
  return found === undefined ? '' : ` (${fileSystemName(found)})`
}

const RESTART = 'if the program or Node.js was updated since the relay was started, restart the relay'

const START_ADVICE: Readonly<Record<string, string>> = {
  EAGAIN: 'raise its limit of processes (TasksMax=, --pids-limit, ulimit -u)',
  ENOMEM: 'raise its memory limit, or free memory',
  ENOENT: RESTART,
}

function startProblem(error: unknown): string {
  const advice = START_ADVICE[String((error as NodeJS.ErrnoException).code)]
  return `${errorMessage(error)}${advice === undefined ? '' : `; ${advice}`}`
}

function cannotRun(why: string): RelayError {
  return failed(`the process that reads the configuration cannot run: ${why}`)
}

function closed(): RelayError {
  return new RelayError('daemon_unreachable', 'the relay is shutting down')
}

function failed(message: string): RelayError {
  return new RelayError('config_invalid', message)
}
