import { existsSync, lstatSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { destinationOf, unmountedProblem } from '../../mounts.ts'
import { lockFileOf } from '../lock-file.ts'
import type { Creation } from '../outbox.ts'
import { unusable } from './faults.ts'

/**
 * Throws `outbox_unusable` where a daemon that finds no outbox at `path` must not create one: a missing volume looks the same as a
 * first start, and what is acknowledged into a new outbox is hidden once the volume is mounted.
 */
export function assertMayCreate(path: string, creation: Creation): void {
  if (creation === 'always') return
  const advice = 'mount its volume, or restore a backup; to begin with an empty outbox: ultravox-relay serve --create'
  if (creation === 'never') {
    throw unusable(`there is no outbox at ${path}, and outbox.createIfMissing is false: ${advice}`)
  }
  const unmounted = unmountedProblem(path)
  if (unmounted !== undefined) throw unusable(`there is no outbox at ${path}, and ${unmounted}: ${advice}`)
}

/**
 * The same before anything is made; a lock file says more about what was there, so it is asked first. Also throws where a link
 * leads to a directory that does not exist, as without the volume that has it.
 */
export function assertMayBegin(path: string, creation: Creation): void {
  if (existsSync(path) || existsSync(lockFileOf(path))) return
  assertMayCreate(path, creation)
  let nearest = dirname(resolve(path))
  while (!existsSync(nearest) && !isLink(nearest)) nearest = dirname(nearest)
  if (existsSync(nearest)) return
  throw unusable(
    `there is no outbox at ${path}: ${nearest} is a symbolic link to ${destinationOf(nearest)}, which does not exist; ` +
      'mount its volume, or create that directory',
  )
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    // Without permission, creating it fails and is explained.
    return false
  }
}
