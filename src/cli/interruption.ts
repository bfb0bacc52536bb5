import { setImmediate as nextTurn } from 'node:timers/promises'
import { note } from './printing.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What a command exits with that a signal has ended early: as shells report Ctrl-C. */
export const INTERRUPTED_STATUS = 130

/** Why a command ended before it was done. */
export class Interrupted extends Error {}

/**
 * Gives work a signal that is aborted by Ctrl-C and the like, so that it can clean up behind itself. A second one is for
 * those who cannot wait.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = () => controller.abort(new Interrupted('interrupted'))
  for (const signal of SIGNALS) process.once(signal, interrupt)
  try {
    const done = await work(controller.signal)
    // Work that never waits leaves a signal unseen.
    await nextTurn()
    return done
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt)
  }
}

/** Where a command that was interrupted goes on. */
export interface Rest {
  readonly worked: number
  readonly matched: number
  /** Options that leave out what was done, such as `['--after', '17']`; none where the same command does. */
  readonly options: readonly string[]
}

/**
 * Tells how far an interrupted command has come and which command does the rest, and exits with 130. `done`: such as
 * `events replayed`.
 */
export function tellRest(done: string, { worked, matched, options }: Rest): void {
  note(`interrupted: ${worked} of ${matched} ${done}; go on with:\n${restCommand(process.argv.slice(2), options)}`)
  process.exitCode = INTERRUPTED_STATUS
}

/** The command line as it was given, with `options` in the place of those that it had. */
export function restCommand(args: readonly string[], options: readonly string[]): string {
  const replaced = new Set(options.filter((each) => each.startsWith('--')))
  const kept = args.filter((arg, index) => {
    const name = arg.split('=')[0]!
    return !replaced.has(name) && !replaced.has(args[index - 1] ?? '')
  })
  return ['ultravox-relay', ...kept, ...options].map(quoted).join(' ')
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
