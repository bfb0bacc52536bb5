import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { errorMessage } from '../domain/errors.ts'
import { within } from './early-end.ts'
import { type Group, groupOf, groupsWith } from './group-processes.ts'
import type { FromLauncher, ToLauncher } from './launcher-process.ts'
import { endForeignGroup, LONGEST_END_MS, type ProcessEnding, type ProcessOptions } from './process-group.ts'

/** How long after the end of a run there has to be a word of it, and how long the process has to come to itself then. */
const OVERDUE_MS = 5_000
/** The same for one that is closed, which waits for the whole relay. */
const CLOSE_OVERDUE_MS = 1_000
/** The process starts hundreds of programs a second. Longer silence while one is to be started means that it is stopped or stuck. */
const SILENCE_MS = 10_000
/** How long a program that was being started when the process was killed may take to show its own environment. */
const STARTING_MS = 100
/** A variable that each delivery's program has, with a value of its own. */
const IDENTITY = 'RELAY_EVENT_ID'

interface Watch {
  end(): void
}

interface Run {
  readonly launcher: ChildProcess
  readonly options: ProcessOptions
  /** Undefined until it is known to have been started. */
  group: Group | undefined
  readonly onStarted: () => void
  readonly resolve: (ending: ProcessEnding) => void
  readonly reject: (error: Error) => void
}

/** A program that could not be started. The message is an errno name, such as `ENOENT`. */
export class CannotStart extends Error {}

/** The process that starts programs ended while one ran, or was to be started. The program does not run any more. */
export class LauncherEnded extends Error {}

/** What is logged of the process that starts programs. */
export interface LauncherLog {
  /** It cannot be started; programs fail until it can. Once for each reason. */
  cannotStart(problem: string): void
  /** It is stopped or stuck, and is told to go on. It is killed if that does not help. */
  silent(pid: number | undefined): void
  killed(pid: number | undefined): void
}

const NO_LOG: LauncherLog = { cannotStart() {}, silent() {}, killed() {} }

/**
 * Runs programs from a small process of its own. To start one takes a fork, which copies the page tables of whoever asks
 * for it: in the relay, whatever the thread, that stops the delivery to all targets for some ten milliseconds.
 * The process is started once, and keeps nothing alive while it has nothing to do. When the relay is
 * gone, even killed, it ends the programs and itself.
 */
export class Launcher {
  #process: ChildProcess | undefined
  readonly #runs = new Map<number, Run>()
  readonly #log: LauncherLog
  readonly #overdueMs: number
  readonly #silenceMs: number
  #lastRun = 0
  #problem: string | undefined
  /** Runs while a program is to be started, from the last message on. */
  #silence: Watch | undefined

  constructor(log: LauncherLog = NO_LOG, overdueMs = OVERDUE_MS, silenceMs = SILENCE_MS) {
    this.#log = log
    this.#overdueMs = overdueMs
    this.#silenceMs = silenceMs
  }

  /** Has the process started ahead of the first program. Where it cannot be started, each program tries it again. */
  prepare(): void {
    this.#started()
  }

  /**
   * See `runProcessGroup`, which does the work. Calls `onStarted` when the program runs. Rejects with `CannotStart` or
   * `LauncherEnded` only.
   */
  async run(options: ProcessOptions, abort: AbortSignal, onStarted: () => void = () => {}): Promise<ProcessEnding> {
    const launcher = this.#started()
    if (launcher === undefined) throw new LauncherEnded(this.#problem)
    const run = ++this.#lastRun
    const send = (message: ToLauncher) => launcher.connected && launcher.send(message)
    const interrupt = () => {
      // A shutdown waits for the answer.
      launcher.kill('SIGCONT')
      send({ interrupt: run })
    }
    const watch = this.#watched(launcher, options.timeoutMs + LONGEST_END_MS + this.#overdueMs)
    try {
      return await new Promise<ProcessEnding>((resolve, reject) => {
        this.#runs.set(run, { launcher, options, group: undefined, onStarted, resolve, reject })
        launcher.channel?.ref()
        send({ run, options })
        this.#silence ??= this.#watched(launcher, this.#silenceMs)
        abort.addEventListener('abort', interrupt)
        if (abort.aborted) interrupt()
      })
    } finally {
      watch.end()
      abort.removeEventListener('abort', interrupt)
      this.#runs.delete(run)
      if (this.#runs.size === 0) launcher.channel?.unref()
    }
  }

  /** Ends the process, and programs that still run. Resolves within eight seconds, whatever the process does. */
  async close(): Promise<void> {
    const launcher = this.#process
    if (launcher?.pid === undefined) return
    const exited = new Promise<void>((resolve) => launcher.once('exit', () => resolve()))
    launcher.ref()
    if (launcher.connected) launcher.disconnect()
    const endMs = this.#runs.size === 0 ? 0 : LONGEST_END_MS
    const watch = this.#watched(launcher, endMs, CLOSE_OVERDUE_MS)
    // The kernel may not let go even of a killed process.
    await within(endMs + 2 * CLOSE_OVERDUE_MS, exited)
    watch.end()
    launcher.unref()
  }

  /** Undefined where the system does not allow it; `#problem` says why. */
  #started(): ChildProcess | undefined {
    try {
      this.#process ??= this.#start()
    } catch (error) {
      // Node throws some failures, such as ENOMEM, and emits others, such as EAGAIN.
      this.#report(errorMessage(error))
    }
    return this.#process
  }

  #report(problem: string): void {
    const why = `the process that starts programs cannot be started: ${problem}`
    if (this.#problem !== why) this.#log.cannotStart(problem)
    this.#problem = why
  }

  /**
   * Looks after a process that is to say something within this time. A program may have stopped it, for it may signal whatever
   * runs as the same user: then nothing would ever end an attempt, for it is the process that watches its timeout. It is told to go
   * on first, since only it can end what it has started.
   */
  #watched(launcher: ChildProcess, ms: number, overdueMs = this.#overdueMs): Watch {
    const later = (afterMs: number, then: () => void) => {
      // Where this process was held up, the message may be there already.
      timer = setTimeout(() => setImmediate(() => !isOver && then()), afterMs)
    }
    let isOver = false
    let timer: NodeJS.Timeout | undefined
    later(ms, () => {
      launcher.kill('SIGCONT')
      // One that is closed at once is told to go on in any case.
      if (ms > 0) this.#log.silent(launcher.pid)
      later(overdueMs, () => {
        if (launcher.kill('SIGKILL')) this.#log.killed(launcher.pid)
      })
    })
    return {
      end: () => {
        isOver = true
        clearTimeout(timer)
      },
    }
  }

  /** After a message, or the end of the process. */
  #heard(launcher: ChildProcess): void {
    this.#silence?.end()
    const isStarting = [...this.#runs.values()].some((run) => run.launcher === launcher && run.group === undefined)
    this.#silence = isStarting ? this.#watched(launcher, this.#silenceMs) : undefined
  }

  #start(): ChildProcess {
    const launcher = fork(fileURLToPath(new URL('./launcher-process.js', import.meta.url)), {
      // Nothing of the relay's environment and flags: programs get what is configured for them. V8 lets new objects pile up
      // before it looks which of them are needed: without a bound 93 MB were resident after 3,000 programs, with it 61.
      env: {},
      execArgv: ['--max-semi-space-size=1'],
      // Bodies are bytes.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    launcher.unref()
    launcher.channel?.unref()
    launcher.on('message', (message: FromLauncher) => {
      this.#problem = undefined
      const run = this.#runs.get(message.run)
      if (run !== undefined) {
        if ('group' in message) {
          run.group = groupOf(message.group)
          run.onStarted()
        } else {
          this.#runs.delete(message.run)
          if ('ending' in message) run.resolve(message.ending)
          else run.reject(new CannotStart(message.failed))
        }
      }
      this.#heard(launcher)
    })
    // Killed, or never started: what ran has failed, and the next program starts another.
    launcher.on('error', ({ message }) => {
      if (launcher.pid === undefined) this.#report(message)
      this.#lose(launcher, this.#problem ?? message)
    })
    launcher.on('disconnect', () => this.#lose(launcher, 'the process that starts programs has ended'))
    return launcher
  }

  #lose(launcher: ChildProcess, why: string): void {
    // One that could not be started tells of it twice.
    if (this.#process !== launcher) return
    this.#process = undefined
    this.#silence?.end()
    this.#silence = undefined
    for (const run of this.#runs.values()) {
      if (run.launcher === launcher) void endRun(run).then(() => run.reject(new LauncherEnded(why)))
    }
  }
}

/**
 * Ends what a run has started whose launcher is gone: nothing else would hold it to its timeout, and a retry would run beside
 * it. Resolves when it does not run any more. Never rejects.
 */
async function endRun({ group, options }: Run): Promise<void> {
  if (group !== undefined) return endForeignGroup(group)
  // It may have been started in the launcher's last moment.
  await sleep(STARTING_MS)
  if (!(IDENTITY in options.env)) return
  await Promise.all(groupsWith(options.env).map(endForeignGroup))
}
