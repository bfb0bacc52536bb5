import { readFileSync, statSync } from 'node:fs'
import { lockFileOf } from '../lock-file.ts'
import { unusable } from './faults.ts'

/**
 * Throws `outbox_unusable` if `path`, which is free of symbolic links, is a second name of a database: a hard link, or a mount of
 * the file alone. SQLite finds the WAL beside the name that it was given, so that two names have two WALs, and whoever opens
 * the second one damages the database. Of several hard links, the one with a lock file of its own is the outbox.
 */
export function assertFirstName(path: string): void {
  const links = linksTo(path)
  if (links > 1 && linksTo(lockFileOf(path)) !== 1) {
    throw unusable(
      `${path} is one of ${links} names of a file (hard links), and a relay has not run on this one: each name would have a ` +
        'WAL of its own. Remove the other names (find DIRECTORY -samefile FILE), or use a copy made by `ultravox-relay backup`',
    )
  }
  if (mountPoints().includes(path)) {
    throw unusable(`the outbox ${path} is mounted as a single file, without its WAL: mount its whole directory`)
  }
}

/** 0 where there is no such file. */
function linksTo(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.nlink ?? 0
}

/** None where the system does not say. */
function mountPoints(): string[] {
  try {
    const text = readFileSync('/proc/self/mountinfo', 'utf8')
    return text.split('\n').map((line) => unescaped(line.split(' ')[4] ?? ''))
  } catch {
    return []
  }
}

/** Blanks, tabs, line ends and backslashes are octal there. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
