import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { unmountedAbove } from '../src/mounts.ts'
import { scratch } from './scratch.ts'

/** `mounted`: mount points as they stand in mountinfo. */
function tables(t: Test, fstab: string, mounted: readonly string[]) {
  const directory = scratch(t)
  const files = { fstab: join(directory, 'fstab'), mountinfo: join(directory, 'mountinfo') }
  writeFileSync(files.fstab, fstab)
  writeFileSync(
    files.mountinfo,
    mounted.map((point) => `36 35 98:0 / ${point} rw master:1 - ext4 /dev/x rw\n`).join(''),
  )
  return files
}

const FSTAB = `# <file system> <mount point> <type> <options>
UUID=1  /           ext4  errors=remount-ro  0 1
/dev/b	/srv/relay	xfs	defaults,nofail	0	2
  /dev/c /srv/relay/inner/ ext4 defaults
/dev/d  /srv/my\\040calls ext4 rw
/dev/e  /media/usb  vfat  rw,noauto,user 0 0
UUID=2  none  swap  sw 0 0
#/dev/f /srv/old ext4 defaults 0 2
/dev/g /srv/short
`

t.test('a path below a mount point of fstab that is not mounted is found by it', async (t) => {
  const mounted = tables(t, FSTAB, ['/', '/srv/relay'])
  const unmounted = tables(t, FSTAB, ['/', '/proc'])
  t.same(unmountedAbove('/srv/relay/relay.db', unmounted), ['/srv/relay'])
  t.same(unmountedAbove('/srv/relay/deep/down/relay.db', unmounted), ['/srv/relay'])
  t.same(unmountedAbove('/srv/relay/relay.db', mounted), [])
  t.same(unmountedAbove('/srv/relay/inner/relay.db', mounted), ['/srv/relay/inner'])
  t.same(unmountedAbove('/srv/relay/inner/relay.db', unmounted), ['/srv/relay/inner', '/srv/relay'])
  t.same(unmountedAbove('/srv/my calls/relay.db', unmounted), ['/srv/my calls'])
  t.same(unmountedAbove('/srv/my calls/relay.db', tables(t, FSTAB, ['/', '/srv/my\\040calls'])), [])
  for (const path of [
    '/srv/relays/relay.db',
    '/media/usb/relay.db',
    '/srv/old/relay.db',
    '/srv/short/relay.db',
    '/relay.db',
  ]) {
    t.same(unmountedAbove(path, unmounted), [], path)
  }
})

t.test('a link into such a mount point is followed', async (t) => {
  const directory = scratch(t)
  mkdirSync(join(directory, 'volume'))
  symlinkSync(join(directory, 'volume'), join(directory, 'link'))
  const files = tables(t, `/dev/b ${directory}/volume ext4 defaults 0 2\n`, ['/'])
  t.same(unmountedAbove(join(directory, 'link', 'relay.db'), files), [join(directory, 'volume')])
  t.same(unmountedAbove(join(directory, 'link', 'new', 'relay.db'), files), [join(directory, 'volume')])
  const byLink = `/dev/b ${directory}/link ext4 defaults 0 2\n`
  t.same(unmountedAbove(join(directory, 'link', 'relay.db'), tables(t, byLink, ['/'])), [join(directory, 'link')])
  t.same(unmountedAbove(join(directory, 'link', 'relay.db'), tables(t, byLink, ['/', `${directory}/volume`])), [])
})

t.test('a link into such a mount point is followed though it leads to nothing yet', async (t) => {
  const directory = scratch(t)
  const volume = join(directory, 'volume')
  mkdirSync(volume)
  mkdirSync(join(directory, 'state'))
  symlinkSync('../volume/relay.db', join(directory, 'state', 'relay.db'))
  symlinkSync(`${volume}/data`, join(directory, 'data'))
  symlinkSync('circle', join(directory, 'circle'))
  const fstab = `/dev/b ${volume} ext4 defaults,nofail 0 2\n`
  for (const path of ['state/relay.db', 'data/relay.db', 'data/deep/down/relay.db']) {
    t.same(unmountedAbove(join(directory, path), tables(t, fstab, ['/'])), [volume], path)
    t.same(unmountedAbove(join(directory, path), tables(t, fstab, ['/', volume])), [], path)
  }
  t.same(unmountedAbove(join(directory, 'circle', 'relay.db'), tables(t, fstab, ['/'])), [])
})

t.test('mount points outside a mounted file system do not count, nor those of swap', async (t) => {
  const fstab = `UUID=1 / ext4 defaults 0 1
/dev/b /var ext4 defaults 0 2
/dev/d none swap sw 0 0
/srv/real.db /srv/relay.db none bind 0 0
`
  const inContainer = tables(t, fstab, ['/', '/proc', '/var/lib/relay', '/srv'])
  t.same(unmountedAbove('/var/lib/relay/relay.db', inContainer), [])
  t.same(unmountedAbove('/var/lib/other/relay.db', inContainer), ['/var'])
  t.same(unmountedAbove('/srv/relay.db', inContainer), ['/srv/relay.db'], 'a file that is a mount point')
  const swap = tables(t, '/dev/d none swap sw 0 0\n', ['/'])
  t.same(unmountedAbove('none/relay.db', swap), [])
})

t.test('the root counts as mounted, as in a chroot it is no mount point', async (t) => {
  t.same(unmountedAbove('/srv/relay.db', tables(t, '/dev/a / ext4 defaults 0 1\n', ['/proc'])), [])
})

t.test('where the system does not say what is mounted, or what is to be, nothing is found', async (t) => {
  const files = tables(t, FSTAB, ['/'])
  t.same(unmountedAbove('/srv/relay/relay.db', { ...files, mountinfo: '/none' }), [])
  t.same(unmountedAbove('/srv/relay/relay.db', { ...files, fstab: '/none' }), [])
})
