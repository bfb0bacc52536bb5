import { type ProcessEnding, type ProcessOptions, runProcessGroup } from './process-group.ts'

/** What the relay sends: a program to run under a number of its choice, or the wish to end that one early. */
export type ToLauncher = { readonly run: number; readonly options: ProcessOptions } | { readonly interrupt: number }

/** What came of the run with this number. `failed`: it could not be started; an errno name such as `ENOENT`. */
export type FromLauncher = { readonly run: number } & ({ readonly ending: ProcessEnding } | { readonly failed: string })

/** The process that starts programs for the relay. It ends when the relay has, and leaves none of them behind. */
function main(): void {
  const running = new Map<number, AbortController>()
  // It is for the relay to say what ends: a terminal and a service manager signal every process there is.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})

  process.on('message', async (message: ToLauncher) => {
    if ('interrupt' in message) return running.get(message.interrupt)?.abort()
    const { run, options } = message
    const controller = new AbortController()
    running.set(run, controller)
    const result = await runProcessGroup(options, controller.signal).then(
      (ending) => ({ ending }),
      (error: NodeJS.ErrnoException) => ({ failed: error.code ?? error.message }),
    )
    running.delete(run)
    if (process.connected) process.send!({ run, ...result } satisfies FromLauncher)
  })
  process.on('disconnect', () => {
    for (const controller of running.values()) controller.abort()
  })
}

if (process.send !== undefined) main()
