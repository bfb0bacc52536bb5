import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openExisting } from '../../src/outbox/sqlite/existing.ts'
import { lockOutbox } from '../../src/outbox/sqlite/lock.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { storageProblem } from '../../src/outbox/sqlite/storage-probe.ts'
import { replaceFile } from '../../src/safe-file.ts'
import { scratch } from '../scratch.ts'

const NO_MOUNT = 'mounting a small tmpfs needs root'
const open = (path: string) => SqliteOutbox.open(path, () => {})

/** A tmpfs with these options; null where it cannot be mounted. */
function tmpfs(t: Test, options: string) {
  const directory = mkdtempSync(join(tmpdir(), 'relay-disk-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const mount = (with_: string) =>
    execFileSync('mount', ['-t', 'tmpfs', '-o', with_, 'relaydisk', directory], { stdio: 'pipe' })
  try {
    mount(options)
  } catch {
    return null
  }
  t.teardown(() => execFileSync('umount', ['-l', directory]))
  return { directory, remount: (how: string) => mount(`remount,${how}`) }
}

t.test('where an outbox can be, nothing is found and nothing is left', async (t) => {
  const directory = scratch(t)
  t.equal(storageProblem(join(directory, 'relay.db')), undefined)
  t.same(readdirSync(directory), [])
})

t.test('a disk with space and no inodes is not called full, nor the user without rights', async (t) => {
  const disk = tmpfs(t, 'size=20m,nr_inodes=12')
  if (disk === null) return t.plan(0, NO_MOUNT)
  const fill = () => {
    for (let n = 0; ; n += 1) {
      try {
        writeFileSync(join(disk.directory, `file-${n}`), '')
      } catch {
        return
      }
    }
  }
  const path = join(disk.directory, 'relay.db')
  await (await open(path)).close()
  fill()
  await t.rejects(open(path), { message: /no inodes left.*\(tmpfs file system at .*, from relaydisk\)/ })
  t.throws(() => openExisting(path), { message: /no inodes left.*\(tmpfs file system at / })
  t.throws(() => replaceFile(join(disk.directory, 'secrets'), 'x', { mode: 0o600 }), {
    code: 'file_unwritable',
    message: /no inodes left.*\(tmpfs file system at /,
  })
})

t.test('a file system that is read-only is named', async (t) => {
  const disk = tmpfs(t, 'size=20m')
  if (disk === null) return t.plan(0, NO_MOUNT)
  const path = join(disk.directory, 'relay.db')
  await (await open(path)).close()
  disk.remount('ro')
  await t.rejects(open(path), {
    code: 'outbox_unusable',
    message: /read-only \(tmpfs file system at .*, from relaydisk\)/,
  })
})

t.test('a name or a path that is too long for a file of the outbox is refused as that', async (t) => {
  const directory = scratch(t)
  await t.rejects(open(join(directory, 'n'.repeat(249))), { code: 'outbox_unusable', message: /name n+ is too long/ })
  const deep = join(directory, ...Array.from({ length: 6 }, () => 'd'.repeat(90)))
  mkdirSync(deep, { recursive: true })
  await t.rejects(open(join(deep, 'relay.db')), { code: 'outbox_unusable', message: /path is too long for SQLite/ })
})

t.test('a lock that another holds is not blamed on the file system', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const lock = lockOutbox(path)
  t.teardown(() => lock.close())
  t.throws(() => lockOutbox(path), { code: 'outbox_locked', message: /another relay is running/ })
})
