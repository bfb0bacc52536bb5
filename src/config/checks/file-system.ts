import { resolve } from 'node:path'
import { fileSystemName, fileSystemOf, kindOf } from '../../file-system.ts'
import { accessing } from '../../safe-file.ts'
import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/**
 * The file system that the outbox is on. SQLite's WAL is shared through memory, so it cannot be used from two machines; where
 * several can mount it, the first command on another one would damage the outbox (https://sqlite.org/wal.html). `mountinfo`: see
 * `fileSystemOf`.
 */
export function* checkFileSystem({ outbox, surroundings }: Draft, mountinfo?: string): Iterable<Finding> {
  if (outbox.path === undefined) return
  const file = resolve(surroundings.directory, outbox.path)
  const found = accessing(file, () => fileSystemOf(file, mountinfo))
  const kind = found === undefined ? 'local' : kindOf(found)
  const path = ['outbox', 'path']
  const place = found === undefined ? '' : `is on the ${fileSystemName(found)}`
  if (kind === 'network') {
    const why = 'a network file system, on which an outbox is damaged once two machines use it'
    yield { path, message: `${place}, ${why}: choose a directory on a local disk` }
  }
  if (kind === 'shared') {
    const why = 'which another system shares: use the outbox from here only, or choose a directory on a local disk'
    yield { path, message: `${place}, ${why}`, level: 'warning' }
  }
}
