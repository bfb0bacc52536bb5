const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

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
    return await work(controller.signal)
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt)
  }
}
