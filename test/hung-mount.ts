import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A file system that never answers: every call waits until `end`, or until its process is killed. */
export interface HungMount {
  readonly directory: string
  /** From now on every operation fails, also those that wait. */
  end(): void
}

/**
 * Mounts a FUSE file system whose server, this process, reads no request. Null where that is not possible: it takes root,
 * Linux and `/dev/fuse`.
 */
export function hungMount(t: Test): HungMount | null {
  let device: number
  try {
    device = openSync('/dev/fuse', 'r+')
  } catch {
    return null
  }
  const directory = mkdtempSync(join(tmpdir(), 'relay-hung-'))
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other'
  const { status } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'hung', directory], {
    stdio: ['ignore', 'ignore', 'ignore', device],
  })
  let isEnded = false
  const end = () => {
    if (isEnded) return
    isEnded = true
    closeSync(device)
  }
  t.teardown(() => {
    end()
    if (status === 0) spawnSync('umount', ['-l', directory])
    rmdirSync(directory)
  })
  return status === 0 ? { directory, end } : null
}
