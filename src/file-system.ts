import { existsSync, readFileSync, realpathSync, statfsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** A mounted file system. */
export interface FileSystem {
  /** As the kernel names it, such as `ext4`, `nfs4` or `fuse.sshfs`. */
  readonly type: string
  /** What is mounted: a device, a share such as `server:/export`, or a name that means nothing. */
  readonly source: string
  readonly mountPoint: string
}

/**
 * Whether other machines can have the file system mounted (`network`), or it is passed through to a virtual machine or a sandbox
 * (`shared`), or served by a program (`program`).
 */
export type FileSystemKind = 'local' | 'network' | 'shared' | 'program'

const NETWORK: ReadonlySet<string> = new Set([
  ...['nfs', 'nfs4', 'cifs', 'smb3', 'smbfs', 'ncpfs', 'ncp', 'afs', 'coda', 'ceph', 'lustre', 'glusterfs', 'beegfs'],
  ...['orangefs', 'pvfs2', 'gpfs', 'davfs', 'acfs', 'fhgfs', 'panfs', 'moosefs'],
])
const NETWORK_PROGRAMS =
  /^fuse\.(sshfs|s3fs|s3ql|goofys|gcsfuse|geesefs|mount-s3|mountpoint-s3|rclone|glusterfs|ceph(-fuse)?|davfs2?|curlftpfs|smbnetfs|blobfuse2?|juicefs|mfs|moosefs|seaweedfs|lizardfs|gvfsd-fuse|nfs)$/
const SHARED: ReadonlySet<string> = new Set([
  ...[
    '9p',
    'virtiofs',
    'vboxsf',
    'vmhgfs',
    'fuse.vmhgfs-fuse',
    'prl_fs',
    'fuse.grpcfuse',
    'fakeowner',
    // Of clusters: several machines have the disk.
    'ocfs2',
    'gfs2',
    'drvfs',
    'lxfs',
  ],
])

export function kindOf({ type }: Pick<FileSystem, 'type'>): FileSystemKind {
  if (NETWORK.has(type) || NETWORK_PROGRAMS.test(type)) return 'network'
  if (SHARED.has(type)) return 'shared'
  // `fuseblk` is a local device such as NTFS.
  return type === 'fuse' || type.startsWith('fuse.') ? 'program' : 'local'
}

/**
 * The file system that `path` is on, or will be on when it has been created; undefined where the system does not say.
 * `mountinfo`: a table as in proc_pid_mountinfo(5).
 */
export function fileSystemOf(path: string, mountinfo?: string): FileSystem | undefined {
  return mountAbove(realPlace(path), mountinfo)
}

/** The same for an absolute path without links, which is not looked up: nothing is asked of the file system itself. */
export function mountAbove(place: string, mountinfo = readMountinfo()): FileSystem | undefined {
  const mounts = mountsIn(mountinfo)
  const above = mounts.filter(
    ({ mountPoint }) => mountPoint === '/' || place === mountPoint || place.startsWith(`${mountPoint}/`),
  )
  const ids = new Set(mounts.map(({ id }) => id))
  let found: Mount | undefined
  // As the kernel walks a path: into each mount on the way. One below a directory that was mounted over later is not met.
  for (;;) {
    const isNext = ({ parent }: Mount) => !ids.has(parent) || parent === (found?.id ?? parent)
    const next = above.filter(isNext).reduce<Mount | undefined>(
      // Of two with the same mount point, the later one hides the other.
      (one, other) => (one === undefined || other.mountPoint.length <= one.mountPoint.length ? other : one),
      undefined,
    )
    if (next === undefined) return found
    above.splice(above.indexOf(next), 1)
    found = next
  }
}

/** Names a file system for people: `nfs4 file system at /mnt, from server:/export`. */
export function fileSystemName({ type, source, mountPoint }: FileSystem): string {
  const from = source === '' || source === 'none' || source === type ? '' : `, from ${source}`
  return `${type} file system at ${mountPoint}${from}`
}

/** ` (ext4 file system at /var, from /dev/sda1)`, to follow a problem with `path`; empty where the system does not say. */
export function onFileSystem(path: string): string {
  try {
    const found = fileSystemOf(path)
    return found === undefined ? '' : ` (${fileSystemName(found)})`
  } catch {
    return ''
  }
}

/** Whether a file system that counts its inodes has none left for `path`, though it may have space. */
export function isOutOfInodes(path: string): boolean {
  try {
    const { files, ffree } = statfsSync(nearest(path))
    return files > 0 && ffree === 0
  } catch {
    return false
  }
}

/** `path` without links, as far as it is there. */
function realPlace(path: string): string {
  const absolute = resolve(path)
  const there = nearest(absolute)
  try {
    const real = realpathSync(there)
    return `${real === '/' ? '' : real}${absolute.slice(there === '/' ? 0 : there.length)}`
  } catch {
    return absolute
  }
}

function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path))
}

function readMountinfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return ''
  }
}

/** A line of mountinfo. */
export interface Mount extends FileSystem {
  readonly id: string
  readonly parent: string
}

/** What a table as in proc_pid_mountinfo(5) lists. */
export function mountsIn(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ')
    const [id, parent, , , mountPoint] = before?.split(' ') ?? []
    const [type, source] = after?.split(' ') ?? []
    if (id === undefined || parent === undefined || mountPoint === undefined || type === undefined) return []
    return [{ id, parent, type, source: unescaped(source ?? ''), mountPoint: unescaped(mountPoint) }]
  })
}

/** Decodes a field of mountinfo or of fstab(5), where blanks, tabs, line ends and backslashes are octal. */
export function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
