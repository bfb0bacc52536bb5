import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type FaultyCase, faultyEnvironment } from '../faulty-storage.ts'
import { scratch } from '../scratch.ts'

const RUN = fileURLToPath(new URL('./faulty-run.js', import.meta.url))
const NO_COMPILER = 'needs Linux and a C compiler'
const PLACE = /\(\w+ file system at \//.source

/** What came of each, by its name; each has a directory of its own. */
function run(t: Test, cases: Record<string, Omit<FaultyCase, 'directory'>>) {
  const env = faultyEnvironment()
  if (env === null) return null
  const root = scratch(t)
  const directories = Object.keys(cases).map((name) => join(root, name))
  for (const directory of directories) mkdirSync(directory)
  const asked = Object.values(cases).map((each, index) => ({ ...each, directory: directories[index]! }))
  const { stdout, stderr } = spawnSync(process.execPath, [RUN, JSON.stringify(asked)], { encoding: 'utf8', env })
  const came = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as string)
  t.equal(came.length, directories.length, stderr)
  return { root, came: Object.fromEntries(Object.keys(cases).map((name, index) => [name, came[index]!])) }
}

t.test('an outbox on a file system that cannot hold it is refused with what that cannot do', async (t) => {
  const expected: Record<string, [FaultyCase['faults'], RegExp]> = {
    'no lock': [{ lock: 'ENOLCK' }, /^outbox_unusable: .*does not support locks/],
    'no lock call': [{ lock: 'ENOSYS' }, /^outbox_unusable: .*does not support locks/],
    'no shared memory': [{ share: 'ENODEV' }, /^outbox_unusable: .*cannot share a file's memory/],
    'no quota': [{ create: 'EDQUOT' }, /^outbox_unusable: .*quota/],
    'no fsync': [{ syncFile: 'EIO' }, /^outbox_unusable: .*input\/output error of the device/],
  }
  const cases = Object.entries(expected).map(([name, [faults]]) => [name, { work: 'open' as const, faults }])
  const done = run(t, Object.fromEntries(cases))
  if (done === null) return t.plan(0, NO_COMPILER)
  for (const [name, [, message]] of Object.entries(expected)) {
    t.match(done.came[name], new RegExp(`${message.source}.*${PLACE}`), name)
    t.notMatch(done.came[name], /another relay|another program|read and write it/, name)
  }
})

t.test('a file system that fails with the files of the outbox only is named all the same', async (t) => {
  const done = run(t, {
    unlocked: { work: 'open', faults: { lock: 'ENOLCK' }, only: '.relay.db.lock' },
    unshared: { work: 'open', faults: { share: 'ENODEV' }, only: 'relay.db' },
  })
  if (done === null) return t.plan(0, NO_COMPILER)
  const { unlocked, unshared } = done.came
  t.match(unlocked, /if none is, the \w+ file system at .* does not support locks: move the outbox/)
  t.match(unshared, new RegExp(`cannot share a file's memory.*${PLACE}`))
})

t.test(
  'a backup is whole where a directory cannot be flushed or memory not be shared, and blames its own disk',
  async (t) => {
    const done = run(t, {
      unflushed: { work: 'backup', faults: { syncDirectory: 'EINVAL' } },
      unsupported: { work: 'backup', faults: { syncDirectory: 'ENOTSUP' } },
      bad: { work: 'backup', faults: { syncDirectory: 'EBADF' } },
      denied: { work: 'backup', faults: { syncDirectory: 'EACCES' } },
      unshared: { work: 'backup', faults: { share: 'ENODEV' } },
      failing: { work: 'backup', faults: { syncDirectory: 'EIO' } },
      unlocked: { work: 'backup', faults: { lock: 'ENOLCK' } },
      unwritten: { work: 'backup', faults: { syncFile: 'EIO' } },
    })
    if (done === null) return t.plan(0, NO_COMPILER)
    const { root, came } = done
    for (const name of ['unflushed', 'unsupported', 'bad', 'denied', 'unshared']) {
      t.equal(came[name], 'done', name)
      t.same(readdirSync(join(root, name)), ['copy.db'])
    }
    t.match(came.failing, new RegExp(`^file_unwritable: .*may not survive a power cut: an input.*${PLACE}`))
    t.match(
      came.unlocked,
      new RegExp(`cannot write the backup: .*does not support locks ${PLACE}.*write it to a local`),
    )
    t.match(came.unwritten, new RegExp(`^outbox_failed: cannot write the backup: .*input/output error.*${PLACE}`))
    t.notMatch(Object.values(came).join('\n'), /move the outbox/)
    t.same(readdirSync(join(root, 'unlocked')), [], 'nothing is left')
  },
)

t.test('a file is replaced where a directory cannot be flushed, or nothing has permissions', async (t) => {
  const done = run(t, {
    unflushed: { work: 'replace', faults: { syncDirectory: 'EINVAL' } },
    unpermitted: { work: 'replace', faults: { mode: 'EPERM' } },
    failing: { work: 'replace', faults: { syncFile: 'EIO' } },
  })
  if (done === null) return t.plan(0, NO_COMPILER)
  t.equal(done.came.unflushed, 'done')
  t.equal(done.came.unpermitted, 'done')
  t.equal(statSync(join(done.root, 'unpermitted', 'file')).mode & 0o777, 0o600, 'less open than asked for')
  t.match(done.came.failing, new RegExp(`^file_unwritable: .*input/output error of the device ${PLACE}`))
  t.same(readdirSync(join(done.root, 'failing')), [])
})
