/**
 * Runs `work` with a signal that aborts, for the same reason, when one of `signals` does; `abort` does so by hand. Throws
 * the reason, whatever became of the work. Listeners are taken off afterwards: with `AbortSignal.any`, Node 20.20 was
 * seen to keep over a kilobyte per call for as long as the longest-lived signal lives.
 */
export async function withLinkedSignal<T>(
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal, abort: (reason: unknown) => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const abort = (reason: unknown) => controller.abort(reason)
  const relay = (event: Event) => abort((event.target as AbortSignal).reason)
  const given = signals.filter((signal) => signal !== undefined)
  for (const signal of given) {
    signal.throwIfAborted()
    signal.addEventListener('abort', relay)
  }
  try {
    return await work(controller.signal, abort)
  } catch (error) {
    controller.signal.throwIfAborted()
    throw error
  } finally {
    for (const signal of given) signal.removeEventListener('abort', relay)
  }
}
