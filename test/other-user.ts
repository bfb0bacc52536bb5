import { spawnSync } from 'node:child_process'

/** The user and group `nobody`, who owns nothing here. */
export const OTHER = 65_534

/**
 * Options of a test that runs `files` as another user. Skipped with the reason where that user cannot reach them, such as a
 * Node that is installed under a home directory.
 */
export function asOtherUser(...files: readonly string[]): { readonly skip: string | false } {
  if (process.getuid?.() !== 0) return { skip: 'needs root' }
  for (const file of files) {
    const { status } = spawnSync('/usr/bin/test', ['-r', file], { uid: OTHER, gid: OTHER })
    if (status !== 0) return { skip: `user ${OTHER} cannot read ${file}` }
  }
  return { skip: false }
}
