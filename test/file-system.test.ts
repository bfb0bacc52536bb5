import { mkdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkFileSystem } from '../src/config/checks/file-system.ts'
import { draftOf } from '../src/config/draft.ts'
import { fileSystemName, fileSystemOf, kindOf, onFileSystem } from '../src/file-system.ts'
import { fileProblem } from '../src/safe-file.ts'
import { scratch } from './scratch.ts'

const LINES = [
  '22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw',
  '30 22 0:40 / /srv/share rw,relatime shared:9 master:2 - nfs4 files.example.com:/export/a\\040b rw,vers=4.2',
  '31 30 0:41 / /srv/share/local rw - xfs /dev/vdb rw',
  '32 22 0:42 / /srv/hidden rw - xfs /dev/vdc rw',
  '33 22 0:43 / /srv/hidden rw - cifs //nas/relay rw',
  '34 22 0:44 / /srv/a\\040b rw - 9p hostshare rw,trans=virtio',
  '35 22 0:45 / /srv/ssh rw - fuse.sshfs user@host:/ rw',
]

t.test('a path is on the innermost mount above it, and of two on one place on the later', async (t) => {
  const types = ['/srv/share/x/relay.db', '/srv/share', '/srv/share/local/relay.db', '/srv/shared/relay.db'].map(
    (path) => fileSystemOf(path, LINES.join('\n'))?.type,
  )
  t.same(types, ['nfs4', 'nfs4', 'xfs', 'ext4'])
  const [hidden, blank] = ['/srv/hidden/relay.db', '/srv/a b/relay.db'].map((path) =>
    fileSystemOf(path, LINES.join('\n')),
  )
  t.equal(fileSystemName(hidden!), 'cifs file system at /srv/hidden, from //nas/relay')
  t.equal(fileSystemName(blank!), '9p file system at /srv/a b, from hostshare')
  t.equal(fileSystemOf('/srv', ''), undefined)
})

t.test('a mount below a directory that was mounted over later hides nothing', async (t) => {
  const lines = [
    ...LINES,
    '50 22 0:60 / /home/u rw - nfs4 files:/home/u rw',
    '51 22 0:61 / /home rw - btrfs /dev/vde rw',
    '52 51 0:62 / /home/v rw - autofs systemd-1 rw',
    '53 52 0:63 / /home/v rw - nfs files:/home/v rw',
    '54 999 0:64 / /opt/x rw - nfs files:/x rw',
  ].join('\n')
  const typeOf = (path: string) => fileSystemOf(path, lines)?.type
  t.same(['/home/u/relay.db', '/home/relay.db', '/home/v/relay.db', '/opt/x/relay.db', '/opt/relay.db'].map(typeOf), [
    'btrfs',
    'btrfs',
    'nfs',
    'nfs',
    'ext4',
  ])
  const chroot = '60 55 0:70 / /data rw - xfs /dev/vdf rw'
  t.same([fileSystemOf('/data/relay.db', chroot)?.type, fileSystemOf('/var/relay.db', chroot)], ['xfs', undefined])
})

t.test('through a link, it is the file system that the link leads to', async (t) => {
  const directory = scratch(t)
  mkdirSync(join(directory, 'here'))
  symlinkSync('here', join(directory, 'link'))
  const line = `40 22 0:50 / ${join(directory, 'here')} rw - btrfs /dev/vdd rw`
  t.equal(fileSystemOf(join(directory, 'link', 'no', 'such', 'relay.db'), `${LINES[0]}\n${line}`)?.type, 'btrfs')
})

t.test('this machine’s own file systems are named', { skip: process.platform !== 'linux' }, async (t) => {
  t.match(onFileSystem(scratch(t)), /^ \([\w.]+ file system at \/[^)]*\)$/)
  if (statSync('/dev/shm', { throwIfNoEntry: false }) !== undefined) {
    t.match(onFileSystem('/dev/shm/relay.db'), /file system at \/dev/)
  }
})

t.test('an outbox on a network file system is an error, on one shared with a host a warning', async (t) => {
  const found = (path: string) => {
    const surroundings = { env: {}, directory: '/etc', written: () => undefined, now: 0 }
    return [...checkFileSystem(draftOf({ outbox: { path } }, surroundings), LINES.join('\n'))]
  }
  t.match(found('/srv/share/relay.db'), [
    { path: ['outbox', 'path'], message: /nfs4 file system at \/srv\/share, from files.*local disk/, level: undefined },
  ])
  t.match(found('/srv/hidden/relay.db'), [{ message: /cifs/, level: undefined }])
  t.match(found('/srv/ssh/relay.db'), [{ message: /fuse\.sshfs/, level: undefined }])
  t.match(found('/srv/a b/relay.db'), [{ message: /9p file system/, level: 'warning' }])
  t.same(found('/srv/share/local/relay.db'), [])
  t.same(found('/var/lib/relay.db'), [])
})

t.test('types are recognised, those of programs by their name', async (t) => {
  for (const type of ['nfs', 'nfs4', 'cifs', 'smb3', 'ceph', 'fuse.rclone', 'fuse.glusterfs', 'fuse.gcsfuse']) {
    t.equal(kindOf({ type }), 'network', type)
  }
  for (const type of ['9p', 'virtiofs', 'vboxsf', 'ocfs2', 'gfs2']) t.equal(kindOf({ type }), 'shared', type)
  for (const type of ['ext4', 'xfs', 'overlay', 'tmpfs', 'fuseblk', 'vfat']) t.equal(kindOf({ type }), 'local', type)
  t.equal(kindOf({ type: 'fuse.fuse-overlayfs' }), 'program')
})

t.test('errors without a name in Node are explained', { skip: process.platform !== 'linux' }, async (t) => {
  t.match(fileProblem('Unknown system error -122'), /quota/)
  t.match(fileProblem('Unknown system error -116'), /stale/)
  t.equal(fileProblem('Unknown system error -9999'), 'Unknown system error -9999')
})
