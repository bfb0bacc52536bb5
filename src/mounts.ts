import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** What `unmountedAbove` reads; a test gives other files. */
export interface MountTables {
  /** What is to be mounted, as in fstab(5). */
  readonly fstab: string
  /** What is mounted, as in proc_pid_mountinfo(5). */
  readonly mountinfo: string
}

const SYSTEM: MountTables = { fstab: '/etc/fstab', mountinfo: '/proc/self/mountinfo' }

/**
 * Returns the mount points in /etc/fstab that `path` lies in and that are not mounted, the innermost first: what is written
 * there is hidden once they are. Entries that are not mounted at boot (`noauto`) do not count. Empty where the system does not say.
 */
export function unmountedAbove(path: string, tables: MountTables = SYSTEM): string[] {
  const mounted = new Set(fieldsOf(tables.mountinfo).map((fields) => unescaped(fields[4] ?? '')))
  if (mounted.size === 0) return []
  const above = directoriesAbove(path)
  const expected = fieldsOf(tables.fstab)
    .filter((fields) => fields.length >= 4 && !fields[0]!.startsWith('#') && !fields[3]!.split(',').includes('noauto'))
    .map((fields) => resolve(unescaped(fields[1]!)))
  // A mount point that fstab names by a link is mounted where the link leads.
  const isMounted = (directory: string) => mounted.has(directory) || mounted.has(realPath(directory))
  return above.filter((directory) => expected.includes(directory) && !isMounted(directory))
}

/** The directories that `path` lies in, by its name and by what the links in it lead to. */
function directoriesAbove(path: string): string[] {
  const named = ancestors(dirname(resolve(path)))
  const nearest = named.find((directory) => existsSync(directory)) ?? '/'
  return [...new Set([...named, ...ancestors(realPath(nearest))])]
}

function realPath(directory: string): string {
  return existsSync(directory) ? realpathSync(directory) : directory
}

/** Without the root, which is no mount point in a chroot. */
function ancestors(directory: string): string[] {
  const parent = dirname(directory)
  return parent === directory ? [] : [directory, ...ancestors(parent)]
}

/** The lines of a table, split at blanks; none where it cannot be read. */
function fieldsOf(file: string): string[][] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n')
    return lines.map((line) => line.trim().split(/[ \t]+/)).filter(([first]) => first !== '')
  } catch {
    return []
  }
}

/** Blanks, tabs, line ends and backslashes are octal in both tables. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
