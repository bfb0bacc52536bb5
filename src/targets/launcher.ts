import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Group, groupOf, groupsWith } from './group-processes.ts'
import type { FromLauncher, ToLauncher } from './launcher-process.ts'
import { endForeignGroup, LONGEST_END_MS, type ProcessEnding, type ProcessOptions } from './process-group.ts'

/** How long after the end of a run there has to be a word of it, and how long the process has to come to itself then. */
const OVERDUE_MS = 5_000
/** The same for one that is closed, which waits for the whole relay. */
const CLOSE_OVERDUE_MS = 1_000
/** How long a program that was being started when the process was killed may take to show its own environment. */
const STARTING_MS = 100
/** A variable that each delivery's program has, with a value of its own. */
const IDENTITY = 'RELAY_EVENT_ID'

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

/**
 * Runs programs from a small process of its own. To start one takes a fork, which copies the page tables of whoever asks
 * for it: in the relay, whatever the thread, that stops the delivery to all targets for some ten milliseconds.
 * The process is started once, and keeps nothing alive while it has nothing to do. When the relay is
 * gone, even killed, it ends the programs and itself.
 */
export class Launcher {
  #process: ChildProcess | undefined
  readonly #runs = new Map<number, Run>()
  readonly #overdueMs: number
  #lastRun = 0

  constructor(overdueMs = OVERDUE_MS) {
    this.#overdueMs = overdueMs
  }

  /** Has the process started ahead of the first program. */
  prepare(): void {
    this.#started()
  }

  /**
   * See `runProcessGroup`, which does the work. Calls `onStarted` when the program runs. Rejects with `CannotStart` or
   * `LauncherEnded` only.
   */
  async run(options: ProcessOptions, abort: AbortSignal, onStarted: () => void = () => {}): Promise<ProcessEnding> {
    const launcher = this.#started()
    const run = ++this.#lastRun
    const send = (message: ToLauncher) => launcher.connected && launcher.send(message)
    const interrupt = () => send({ interrupt: run })
    const watch = watched(launcher, options.timeoutMs + LONGEST_END_MS + this.#overdueMs)
    try {
      return await new Promise<ProcessEnding>((resolve, reject) => {
        this.#runs.set(run, { launcher, options, group: undefined, onStarted, resolve, reject })
        launcher.channel?.ref()
        send({ run, options })
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

  /** Ends the process, and programs that still run. */
  async close(): Promise<void> {
    const launcher = this.#process
    if (launcher === undefined) return
    const exited = once(launcher, 'exit')
    launcher.ref()
    launcher.disconnect()
    const watch = watched(launcher, this.#runs.size === 0 ? 0 : LONGEST_END_MS, CLOSE_OVERDUE_MS)
    await exited
    watch.end()
  }

  #started(): ChildProcess {
    this.#process ??= this.#start()
    return this.#process
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
      const run = this.#runs.get(message.run)
      if (run === undefined) return
      if ('group' in message) {
        run.group = groupOf(message.group)
        run.onStarted()
      } else if ('ending' in message) run.resolve(message.ending)
      else run.reject(new CannotStart(message.failed))
    })
    // Killed, or never started: what ran has failed, and the next program starts another.
    launcher.on('error', ({ message }) => this.#lose(launcher, message))
    launcher.on('disconnect', () => this.#lose(launcher, 'the process that starts programs has ended'))
    return launcher
  }

  #lose(launcher: ChildProcess, why: string): void {
    // One that could not be started tells of it twice.
    if (this.#process !== launcher) return
    this.#process = undefined
    for (const run of this.#runs.values()) {
      if (run.launcher === launcher) void endRun(run).then(() => run.reject(new LauncherEnded(why)))
    }
  }
}

/**
 * Looks after a process that is to say something within this time. A program may have stopped it, for it may signal whatever
 * runs as the same user: then nothing would ever end an attempt, for it is the process that watches its timeout. It is told to go
 * on first, since only it can end what it has started.
 */
function watched(launcher: ChildProcess, ms: number, overdueMs = OVERDUE_MS): { end(): void } {
  let timer = setTimeout(() => {
    launcher.kill('SIGCONT')
    timer = setTimeout(() => launcher.kill('SIGKILL'), overdueMs)
  }, ms)
  return { end: () => clearTimeout(timer) }
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
