import { closeSync, readdirSync, readFileSync } from 'node:fs'
import { systemClock } from '../domain/clock.ts'
import { FileLimit } from './file-limit.ts'
import { type ProcessEnding, type ProcessOptions, runProcessGroup } from './process-group.ts'
import { removeLeftStreams } from './program-streams.ts'

/** Of open(2); Node does not name it. */
const O_CLOEXEC = 0o2000000

/** What the relay sends: a program to run under a number of its choice, or the wish to end that one early. */
export type ToLauncher = { readonly run: number; readonly options: ProcessOptions } | { readonly interrupt: number }

/**
 * What came of the run with this number. `group`: it has been started, and this is its process group; another message follows.
 * `failed`: it could not be started; an errno name such as `ENOENT`.
 */
export type FromLauncher = { readonly run: number } & (
  | { readonly group: number }
  | { readonly ending: ProcessEnding }
  | { readonly failed: string }
)

/** The process that starts programs for the relay. It ends when the relay has, and leaves none of them behind. */
function main(): void {
  closeInherited()
  removeLeftStreams(systemClock.now())
  const limit = new FileLimit()
  limit.lower()
  const running = new Map<number, AbortController>()
  const tell = (message: FromLauncher) => process.connected && process.send!(message)
  // It is for the relay to say what ends: a terminal and a service manager signal every process there is.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})

  process.on('message', async (message: ToLauncher) => {
    if ('interrupt' in message) return running.get(message.interrupt)?.abort()
    const { run, options } = message
    const controller = new AbortController()
    running.set(run, controller)
    limit.allow(running.size)
    const onStart = (group: number) => tell({ run, group })
    const result = await runProcessGroup(options, controller.signal, onStart).then(
      (ending) => ({ ending }),
      (error: NodeJS.ErrnoException) => ({ failed: error.code ?? error.message }),
    )
    running.delete(run)
    tell({ run, ...result })
  })
  // A relay that is gone is heard of by `disconnect`; an answer that does not reach it must not end this process before.
  process.on('error', () => {})
  process.on('disconnect', () => {
    for (const controller of running.values()) controller.abort()
  })
}

/**
 * Closes what the relay itself was started with beyond its standard streams: every program would inherit it. What Node
 * opens is closed at an exec; of what it inherits, Node sees to that only up to the first gap after 15.
 */
function closeInherited(): void {
  for (const fd of openDescriptors()) {
    if (fd > 2 && isInheritable(fd)) closeSync(fd)
  }
}

/** Empty where there is no `/proc`. */
function openDescriptors(): number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number)
  } catch {
    return []
  }
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0
  } catch {
    // That of the look into the directory.
    return false
  }
}

if (process.send !== undefined) main()
