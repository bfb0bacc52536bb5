import { execFileSync } from 'node:child_process'
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { attachStrace, straceProblem } from '../crash/strace.ts'
import { takingRelay } from '../crash/taking.ts'
import { commandsIn } from '../daemon/operator-commands.ts'
import { scratch } from '../scratch.ts'

const FULL_AT = Number(process.env.FULL_AT ?? 12)
const AT_ONCE = 8
const statuses = (answers: readonly number[]) => [...new Set(answers)].sort().join(', ')

t.test('a disk that is full at any write costs no event that was acknowledged, and the relay goes on', async (t) => {
  const problem = straceProblem()
  if (problem !== null) return t.plan(0, problem)
  const outbox = takingRelay(t, scratch(t))
  const relay = await outbox.start()
  let refused = 0
  for (let nth = 1; nth <= FULL_AT; nth++) {
    const inject = `inject=pwrite64:error=ENOSPC:when=${nth}`
    const strace = await attachStrace(t, relay.process.pid!, ['-o', '/dev/null', '-e', inject])
    const answers = await outbox.take(relay.origin, AT_ONCE)
    refused += answers.filter((status) => status === 503).length
    t.match(statuses(answers), /^(204|503|204, 503)$/, `at write ${nth}: ${statuses(answers)}`)
    await strace.detach()
    t.same(await outbox.take(relay.origin, 1), [204], 'and then there is room again')
  }
  t.ok(refused > 0, 'the fault was felt')
  await relay.end('SIGKILL')
  await outbox.start()
  outbox.assertAllThere(t)
  t.comment(`${FULL_AT} full disks: ${refused} events refused, ${outbox.acknowledged.length} acknowledged, 0 lost`)
})

const ERRORS = [
  'pwrite64:error=EIO:when=1',
  'pwrite64:error=EIO:when=2',
  'pwrite64:error=EIO:when=5',
  'pwrite64:error=EROFS:when=3',
  'pwrite64:error=EDQUOT:when=3',
  'fsync,fdatasync:error=EIO:when=1',
  'fsync,fdatasync:error=ENOSPC:when=1',
  'pread64:error=EIO',
]

for (const error of ERRORS) {
  t.test(`${error}: nothing is acknowledged in error, and the next start has it all`, async (t) => {
    const problem = straceProblem()
    if (problem !== null) return t.plan(0, problem)
    const outbox = takingRelay(t, scratch(t))
    const first = await outbox.start()
    await outbox.take(first.origin, 2 * AT_ONCE)
    await attachStrace(t, first.process.pid!, ['-o', '/dev/null', '-e', `inject=${error}`])
    const answers = await outbox.take(first.origin, AT_ONCE)
    const ended = first.process.exitCode
    const { code, stdout } = await first.end(ended === null ? 'SIGKILL' : 'SIGCONT')
    t.comment(`answers ${statuses(answers)}, ended with ${code}`)
    if (code !== null) t.match(stdout, /"code":"outbox_failed".*(kernel says why|restore a backup)/)
    const again = await outbox.start()
    outbox.assertAllThere(t)
    t.same(await outbox.take(again.origin, 1), [204])
  })
}

/** A directory with a file system of its own, and what mounts it anew; null where that takes rights that are not there. */
function ownDisk(t: Test, size: string) {
  const directory = mkdtempSync(join(tmpdir(), 'relay-disk-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const mount = (...options: string[]) =>
    execFileSync('mount', ['-t', 'tmpfs', '-o', options.join(','), 'tmpfs', directory], { stdio: 'pipe' })
  try {
    mount(`size=${size}`)
  } catch {
    return null
  }
  t.teardown(() => execFileSync('umount', ['-l', directory]))
  return { directory, remount: (how: 'ro' | 'rw') => mount('remount', how) }
}

const NO_MOUNT = 'mounting a small tmpfs needs root'

t.test('on a disk that is really full events are refused, also over kill -9, until there is room', async (t) => {
  const disk = ownDisk(t, '3m')
  if (disk === null) return t.plan(0, NO_MOUNT)
  const outbox = takingRelay(t, disk.directory)
  const ballast = join(disk.directory, 'ballast')
  writeFileSync(ballast, Buffer.alloc(1024 ** 2))
  const relay = await outbox.start()
  let last: number[] = []
  for (let n = 0; n < 200 && !last.includes(503); n++) last = await outbox.take(relay.origin, AT_ONCE)
  t.ok(last.includes(503), 'it fills up')
  for (let n = 0; n < 5; n++) await outbox.take(relay.origin, AT_ONCE)
  await relay.end('SIGKILL')
  const refusal = await outbox.refusal()
  t.comment(`a start on a full disk: ${refusal ?? 'is possible'}`)
  if (refusal !== null) t.match(refusal, /ended with 1 [\s\S]*make room on the disk/)
  rmSync(ballast)
  const again = await outbox.start()
  outbox.assertAllThere(t)
  t.same(await outbox.take(again.origin, 1), [204], 'and events are taken')
  t.comment(`${outbox.acknowledged.length} events acknowledged, 0 lost`)
})

t.test('on a file system that is read-only the relay does not start, and says why; then it goes on', async (t) => {
  const disk = ownDisk(t, '20m')
  if (disk === null) return t.plan(0, NO_MOUNT)
  const outbox = takingRelay(t, disk.directory)
  const relay = await outbox.start()
  await outbox.take(relay.origin, 3 * AT_ONCE)
  await relay.end('SIGKILL')
  disk.remount('ro')
  t.match(await outbox.refusal(), /ended with 1 .*\n.*cannot open the outbox .* for writing: .*(read-only|EROFS)/)
  disk.remount('rw')
  const again = await outbox.start()
  outbox.assertAllThere(t)
  t.same(await outbox.take(again.origin, 1), [204])
})

t.test('a damaged page is found by doctor --deep, or when it is read; then the relay ends and stays so', async (t) => {
  const directory = scratch(t)
  const outbox = takingRelay(t, directory)
  const relay = await outbox.start()
  await outbox.take(relay.origin, 60)
  await relay.end('SIGTERM')
  const database = openDatabase(outbox.path, { readonly: true })
  const root = database.prepare("select rootpage from sqlite_schema where name = 'events_by_call'").pluck().get()
  database.close()
  const page = Buffer.alloc(4_096, 0xee)
  writeSync(openSync(outbox.path, 'r+'), page, 0, page.length, (Number(root) - 1) * page.length)
  const { stdout, code } = await commandsIn(directory).run('doctor --deep')
  t.equal(code, 1)
  t.match(stdout, /problem +outbox +.*relay\.db.*(damaged|malformed)[\s\S]*backup/)
  const again = await outbox.start().catch((error: Error) => error.message)
  if (typeof again !== 'string') {
    t.notOk((await outbox.take(again.origin, AT_ONCE)).includes(204), 'nothing is acknowledged that needs that page')
    t.match(await again.end('SIGCONT'), { code: 1, stdout: /SQLITE_CORRUPT.*restore a backup/ })
    t.comment('noticed when it was read')
  }
  t.match(await outbox.refusal(), /(damaged|malformed).* restore/)
})
