import { setTimeout as sleep } from 'node:timers/promises'

/** Does a thing again and again with a pause between, until Ctrl-C; that ends it after the step under way. */
export async function repeatUntilInterrupted(step: () => Promise<void>, pauseMs: number): Promise<void> {
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  while (!interrupted.signal.aborted) {
    await step()
    await sleep(pauseMs, undefined, { signal: interrupted.signal }).catch(() => {})
  }
}
