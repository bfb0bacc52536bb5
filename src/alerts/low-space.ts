import { statfs } from 'node:fs/promises'
import { type Alert, lowSpace } from './relay-event.ts'
import type { Watch } from './watches.ts'

export interface LowSpaceOptions {
  readonly reserveBytes: number
  readonly freeBytes: () => Promise<number>
  readonly raise: (alert: Alert) => void
}

/** Tells that less space than the reserve is left for the outbox: once, until there is enough again. */
export function watchSpace({ reserveBytes, freeBytes, raise }: LowSpaceOptions): Watch {
  let told = false
  return {
    name: 'low space',
    everyMs: 60_000,
    async check() {
      const free = await freeBytes()
      const low = free < reserveBytes
      if (low && !told) raise(lowSpace(free, reserveBytes))
      told = low
    },
  }
}

/** What this user may still write on the file system that a directory is on, in bytes. */
export async function freeBytesAt(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}
