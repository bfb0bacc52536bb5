import { statfs } from 'node:fs/promises'

/** What this user may still write on the file system that a directory is on, in bytes. */
export async function freeBytesAt(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}
