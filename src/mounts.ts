import { readFileSync, readlinkSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { mountsIn, unescaped } from './file-system.ts'

/** What `unmountedAbove` reads; a test gives other files. */
export interface MountTables {
  /** What is to be mounted, as in fstab(5). */
  readonly fstab: string
  /** What is mounted, as in proc_pid_mountinfo(5). */
  readonly mountinfo: string
}

const SYSTEM: MountTables = { fstab: '/etc/fstab', mountinfo: '/proc/self/mountinfo' }

/** As many links as Linux follows in one path. */
const MOST_LINKS = 40

/**
 * Returns the mount points in /etc/fstab that `path` lies in and that are not mounted, the innermost first: what is written
 * there is hidden once they are. Those outside a file system that is mounted do not count, as in a container with a volume and the
 * fstab of its image, nor do entries that are not mounted at boot (`noauto`). Empty where the system does not say.
 */
export function unmountedAbove(path: string, tables: MountTables = SYSTEM): string[] {
  const mounted = new Set(mountsIn(textOf(tables.mountinfo)).map(({ mountPoint }) => mountPoint))
  if (mounted.size === 0) return []
  const expected = fieldsOf(textOf(tables.fstab))
    .filter((fields) => fields.length >= 4 && !fields[0]!.startsWith('#') && !fields[3]!.split(',').includes('noauto'))
    .map((fields) => unescaped(fields[1]!))
    // Swap has `none`.
    .filter((mountPoint) => mountPoint.startsWith('/'))
    .map((mountPoint) => resolve(mountPoint))
  // A mount point that fstab names by a link is mounted where the link leads.
  const isMounted = (directory: string) => mounted.has(directory) || mounted.has(destinationOf(directory))
  const found = [resolve(path), destinationOf(path)].flatMap((each) => {
    const above = ancestors(each)
    const innermost = above.findIndex(isMounted)
    return above.slice(0, innermost === -1 ? undefined : innermost).filter((directory) => expected.includes(directory))
  })
  return [...new Set(found)]
}

/** Says which volume of /etc/fstab that `path` lies in is not mounted; undefined if all of them are. */
export function unmountedProblem(path: string): string | undefined {
  const [mountPoint] = unmountedAbove(path)
  return mountPoint === undefined ? undefined : `${mountPoint} is in /etc/fstab but not mounted`
}

/** Follows the links in a path as far as they lead; unlike with `realpath`, what they lead to need not exist. */
export function destinationOf(path: string): string {
  const rest = partsOf(resolve(path))
  let followed = 0
  let at = '/'
  while (rest.length > 0) {
    const next = resolve(at, rest.shift()!)
    const target = followed < MOST_LINKS ? linkAt(next) : undefined
    if (target === undefined) at = next
    else {
      followed += 1
      rest.unshift(...partsOf(target))
      if (target.startsWith('/')) at = '/'
    }
  }
  return at
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Itself and all that it lies in, as a file can be a mount point too. Without the root, which is not one in a chroot. */
function ancestors(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [] : [path, ...ancestors(parent)]
}

/** The lines of fstab, split at blanks. */
function fieldsOf(fstab: string): string[][] {
  const lines = fstab.split('\n').map((line) => line.trim().split(/[ \t]+/))
  return lines.filter(([first]) => first !== '')
}

/** Empty where the file cannot be read. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
