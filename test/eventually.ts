import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits until a condition holds; fails when it still does not after a time that is long even for a machine with much else to
 * do: what is asserted is that it comes to hold, not when.
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 30_000,
): Promise<void> {
  const giveUpAt = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(10)
  }
}
