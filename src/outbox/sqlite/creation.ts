import { existsSync } from 'node:fs'
import { RelayError } from '../../domain/errors.ts'
import { unmountedAbove } from '../../mounts.ts'
import type { Creation } from '../outbox.ts'

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
  const [unmounted] = unmountedAbove(path)
  if (unmounted === undefined) return
  throw unusable(`there is no outbox at ${path}, and ${unmounted} is in /etc/fstab but not mounted: ${advice}`)
}

/** The same before anything is made; a lock file says more about what was there, so it is asked first. */
export function assertMayBegin(path: string, creation: Creation): void {
  if (!existsSync(path) && !existsSync(`${path}.lock`)) assertMayCreate(path, creation)
}

function unusable(message: string): RelayError {
  return new RelayError('outbox_unusable', message)
}
