/** Why something is ended before it has ended by itself. */
export type EarlyEnd = 'timeout' | 'interrupted'

/** Waits until `done` settles (null) or there is a reason to end it. Leaves no timer and no listener behind. */
export function earlyEnd(done: Promise<unknown>, timeoutMs: number, abort: AbortSignal): Promise<EarlyEnd | null> {
  return new Promise((resolve) => {
    const end = (reason: EarlyEnd | null) => {
      clearTimeout(timer)
      abort.removeEventListener('abort', interrupt)
      resolve(reason)
    }
    const interrupt = () => end('interrupted')
    const timer = setTimeout(end, timeoutMs, 'timeout')
    abort.addEventListener('abort', interrupt)
    if (abort.aborted) interrupt()
    done.then(
      () => end(null),
      () => end(null),
    )
  })
}

/** Waits until `done` settles, but not longer than this. */
export function within(ms: number, done: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(end, ms)
    done.then(end, end)
  })
}
