import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { newFilePath, writeWhole } from '../src/cli/new-file.ts'
import { addToSecretsFile, readSecretsFile } from '../src/config/secrets-file.ts'
import { Secret } from '../src/domain/secret.ts'
import { openExisting } from '../src/outbox/sqlite/existing.ts'
import { SqliteOutbox } from '../src/outbox/sqlite/sqlite-outbox.ts'
import { createFile, readSmallFile, removeFile, replaceFile, setSocketMode } from '../src/safe-file.ts'
import { RecordingFiles } from '../src/ultravox/recording-files.ts'
import { asOtherUser, OTHER } from './other-user.ts'
import { scratch } from './scratch.ts'

const asRoot = { skip: process.getuid?.() === 0 ? false : 'needs root' }
const asOther = asOtherUser(process.execPath)
const SAFE_FILE = fileURLToPath(new URL('../src/safe-file.js', import.meta.url))
const asUser = asOtherUser(process.execPath, SAFE_FILE)

/** Why no link can lead to another file system here. */
function hasOtherFileSystem(): string | false {
  const there = statSync('/dev/shm', { throwIfNoEntry: false })
  return there !== undefined && there.dev !== statSync(tmpdir()).dev ? false : 'needs two file systems'
}

/** A directory of another user's in one that only root can change. */
function foreign(t: Test): { root: string; theirs: string } {
  const root = scratch(t)
  chmodSync(root, 0o755)
  const theirs = join(root, 'theirs')
  mkdirSync(theirs)
  chownSync(theirs, OTHER, OTHER)
  return { root, theirs }
}

t.test('a file is replaced whole, with the mode asked for, and nothing is left beside it', async (t) => {
  const directory = t.testdir({ file: 'old' })
  const file = join(directory, 'file')
  chmodSync(file, 0o644)
  replaceFile(file, 'new', { mode: 0o600 })
  t.equal(readFileSync(file, 'utf8'), 'new')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.throws(() => createFile(file, 'other', 0o644), { code: 'file_exists' })
  createFile(join(directory, 'made'), 'made', 0o644)
  removeFile(file)
  removeFile(file)
  t.same(readdirSync(directory), ['made'])
  t.throws(() => removeFile(join(directory, 'no', 'file')), { code: 'file_unwritable' })
})

t.test('a symbolic link stays, and what it leads to is replaced in its own directory', async (t) => {
  const directory = t.testdir({
    real: { file: 'old' },
    near: t.fixture('symlink', 'real/file'),
    chain: t.fixture('symlink', 'near'),
    folder: t.fixture('symlink', 'real'),
    dangling: t.fixture('symlink', 'real/new'),
  })
  const real = join(directory, 'real', 'file')
  chmodSync(real, 0o600)
  for (const name of ['near', 'chain', 'folder/file']) {
    replaceFile(join(directory, name), `by ${name}`, { mode: 0o600 })
    t.equal(readFileSync(real, 'utf8'), `by ${name}`)
  }
  replaceFile(join(directory, 'dangling'), 'made', { mode: 0o600 })
  t.equal(readFileSync(join(directory, 'real', 'new'), 'utf8'), 'made')
  for (const name of ['near', 'chain', 'folder', 'dangling']) {
    t.ok(lstatSync(join(directory, name)).isSymbolicLink(), name)
  }
  t.same(readdirSync(join(directory, 'real')).sort(), ['file', 'new'])
  removeFile(join(directory, 'dangling'))
  t.same(readdirSync(join(directory, 'real')), ['file'])
  t.ok(lstatSync(join(directory, 'dangling')).isSymbolicLink(), 'so that the next write finds its way')
  const copy = newFilePath(join(directory, 'dangling'), false)
  await writeWhole(copy, false, new AbortController().signal, async (path) => writeFileSync(path, 'copy'))
  t.equal(readFileSync(join(directory, 'real', 'new'), 'utf8'), 'copy')
})

t.test('a link across file systems is followed', { skip: hasOtherFileSystem() }, async (t) => {
  const [here, there] = [scratch(t), mkdtempSync('/dev/shm/relay-test-')]
  t.teardown(() => rmSync(there, { recursive: true, force: true }))
  symlinkSync(join(there, 'file'), join(here, 'link'))
  replaceFile(join(here, 'link'), 'first', { mode: 0o600 })
  replaceFile(join(here, 'link'), 'second', { mode: 0o600 })
  t.equal(readFileSync(join(there, 'file'), 'utf8'), 'second')
})

t.test('what cannot be replaced without a trace is refused, with both paths', async (t) => {
  const directory = t.testdir({
    file: 'old',
    directory: {},
    '..2026_11_30_19_00_00.123': { secrets: 'old' },
    '..data': t.fixture('symlink', '..2026_11_30_19_00_00.123'),
    secrets: t.fixture('symlink', '..data/secrets'),
    loop: t.fixture('symlink', 'loop'),
    lost: t.fixture('symlink', 'no/such'),
    up: t.fixture('symlink', 'directory'),
    turn: t.fixture('symlink', 'up/../file'),
    volume: t.fixture('symlink', '..data'),
  })
  const refused: [string, RegExp][] = [
    ['directory', /not a regular file/],
    ['secrets', /secrets \(a symbolic link to .*\.\.data\/secrets\).*Kubernetes/],
    ['..data/secrets', /\.\.data\/secrets cannot be written: Kubernetes/],
    ['volume/secrets', /volume\/secrets cannot be written: Kubernetes/],
    ['loop', /symbolic links lead in a circle/],
    ['lost', /lost \(a symbolic link to .*no\/such\).*no such directory/],
  ]
  for (const [name, message] of refused) {
    const write = () => replaceFile(join(directory, name), 'new', { mode: 0o600 })
    t.throws(write, { code: 'file_unwritable', message }, name)
  }
  linkSync(join(directory, 'file'), join(directory, 'second'))
  symlinkSync('file', join(directory, 'link'))
  t.throws(() => replaceFile(join(directory, 'link'), 'new', { mode: 0o600 }), {
    code: 'file_unwritable',
    message: /link \(a symbolic link to .*file\).*2 names \(hard links\)/,
  })
  t.equal(readFileSync(join(directory, 'file'), 'utf8'), 'old')
  t.equal(readFileSync(join(directory, '..2026_11_30_19_00_00.123', 'secrets'), 'utf8'), 'old')
})

t.test(
  'a file mounted by itself is not replaced, and the directory is named as the thing to mount',
  asRoot,
  async (t) => {
    const directory = scratch(t)
    const [file, source] = [join(directory, 'file'), join(directory, 'source')]
    for (const path of [file, source]) writeFileSync(path, 'old')
    const script = `mount --bind source file && exec "$0" --input-type=module -e "$1"`
    const code = `
    import { replaceFile } from ${JSON.stringify(new URL('../src/safe-file.js', import.meta.url))}
    try { replaceFile('file', 'new', { mode: 0o600 }) } catch (error) { console.log(error.code, error.message) }`
    const { status, stdout } = spawnSync('unshare', ['-m', 'sh', '-c', script, process.execPath, code], {
      cwd: directory,
      encoding: 'utf8',
      env: { PATH: process.env.PATH },
    })
    if (status !== 0) return t.plan(0, 'needs mounts of its own')
    t.match(stdout, /^file_unwritable file cannot be written: .*mounted as a single file.*mount its directory/)
    t.same(readdirSync(directory).sort(), ['file', 'source'])
  },
)

t.test('a file keeps permissions that are not for everybody, and its extended attributes', async (t) => {
  const file = join(scratch(t), 'file')
  writeFileSync(file, 'old')
  for (const [before, after] of [
    [0o640, 0o640],
    [0o400, 0o400],
    [0o644, 0o600],
  ] as const) {
    chmodSync(file, before)
    replaceFile(file, 'new', { mode: 0o600 })
    t.equal(statSync(file).mode & 0o777, after)
  }
  const attribute = (code: string) =>
    spawnSync('python3', ['-c', `import os, sys; ${code}`, file], { encoding: 'utf8', env: { PATH: process.env.PATH } })
  if (attribute("os.setxattr(sys.argv[1], 'user.relay', b'kept')").status !== 0) return
  replaceFile(file, 'newer', { mode: 0o600 })
  const read = attribute("print(os.getxattr(sys.argv[1], 'user.relay').decode())")
  t.match(read.stdout, /^(kept)?$/m)
  t.equal(readFileSync(file, 'utf8'), 'newer')
})

t.test('what is not a small regular file of text is refused by name, without waiting', async (t) => {
  const directory = t.testdir({ large: 'x'.repeat(1024 * 1024 + 1) })
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  writeFileSync(join(directory, 'bytes'), Buffer.from([0x61, 0xff]))
  t.throws(() => readSmallFile(fifo), { code: 'ENOTREG' })
  t.throws(() => readSmallFile('/dev/zero'), { code: 'ENOTREG' })
  t.throws(() => readSmallFile(directory), { code: 'EISDIR' })
  t.throws(() => readSmallFile(join(directory, 'large')), { code: 'EFBIG' })
  t.throws(() => readSmallFile(join(directory, 'bytes')), { code: 'EILSEQ' })
  t.throws(() => readSecretsFile(fifo), { code: 'config_invalid', message: /is not a regular file/ })
})

t.test('only a socket gets the mode of a socket', async (t) => {
  const directory = scratch(t)
  const socket = join(directory, 's')
  const server = createServer().listen(socket)
  await once(server, 'listening')
  t.teardown(() => server.close())
  setSocketMode(socket, 0o600)
  t.equal(statSync(socket).mode & 0o777, 0o600)
  symlinkSync(socket, join(directory, 'link'))
  t.throws(() => setSocketMode(join(directory, 'link'), 0o666))
  t.equal(statSync(socket).mode & 0o777, 0o600)
})

/** Runs as the other user: puts links in the place of every file that root is writing, until it is killed. */
const ATTACK = `
  const fs = require('node:fs')
  const [directory, victim] = process.argv.slice(1)
  process.chdir(directory)
  process.stdout.write('on\\n')
  for (;;) for (const name of fs.readdirSync('.')) {
    if (!name.startsWith('.')) continue
    try { fs.unlinkSync(name); fs.symlinkSync(victim, name) } catch {}
  }`

t.test('a directory that must not be listed is passed through; one that is read-only is named', asUser, async (t) => {
  const { root, theirs } = foreign(t)
  const [unlisted, closed, dropBox] = ['unlisted', 'closed', 'drop-box'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ]
  for (const directory of [unlisted, closed, dropBox]) mkdirSync(directory)
  const [secrets, own, dropped] = [join(theirs, 'secrets'), join(closed, 'own'), join(dropBox, 'secrets')]
  for (const file of [secrets, own, dropped]) {
    writeFileSync(file, 'old', { mode: 0o600 })
    chownSync(file, OTHER, OTHER)
  }
  symlinkSync(secrets, join(unlisted, 'link'))
  symlinkSync(own, join(unlisted, 'closed'))
  chownSync(dropBox, OTHER, OTHER)
  for (const [directory, mode] of [
    [unlisted, 0o711],
    [closed, 0o755],
    [dropBox, 0o300],
  ] as const) {
    chmodSync(directory, mode)
  }
  const code = `
    import { replaceFile } from ${JSON.stringify(SAFE_FILE)}
    for (const path of ${JSON.stringify([join(unlisted, 'link'), dropped, join(unlisted, 'closed')])}) {
      try { replaceFile(path, 'new', { mode: 0o600 }) } catch (error) { console.log(error.message) }
    }`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    env: {},
    uid: OTHER,
    gid: OTHER,
    cwd: '/',
  })
  const problem = `${unlisted}/closed (a symbolic link to ${own}) cannot be written: no permission to create files in ${closed}`
  t.equal(stdout, `${problem}, which replacing the file needs\n`, stderr)
  t.same(
    [secrets, dropped, own].map((file) => readFileSync(file, 'utf8')),
    ['new', 'new', 'old'],
  )
  t.ok(lstatSync(join(unlisted, 'link')).isSymbolicLink())
})

t.test('root gives no file away to a user who swaps links into the directory', asOther, async (t) => {
  const { root, theirs } = foreign(t)
  const victim = join(root, 'victim')
  writeFileSync(victim, 'of root', { mode: 0o600 })
  const attacker = spawn(process.execPath, ['-e', ATTACK, theirs, victim], {
    uid: OTHER,
    gid: OTHER,
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(attacker, 'close')
  await once(attacker.stdout, 'data')
  const secrets = join(theirs, 'ultravox.secrets')
  let failed = 0
  for (let round = 0; round < 300; round += 1) {
    try {
      addToSecretsFile(secrets, new Secret(`secret-number-${round}`), join(theirs, 'relay.db'))
    } catch {
      failed += 1
    }
  }
  attacker.kill('SIGKILL')
  await ended
  t.comment(`${failed} of 300 writes failed`)
  t.match(statSync(victim), { uid: 0, gid: 0, size: 'of root'.length })
  t.equal(statSync(victim).mode & 0o777, 0o600)
})

t.test('root writes where the link of a user leads only if that is the same user’s', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  mkdirSync(join(root, 'ours'))
  mkdirSync(join(theirs, 'more'))
  chownSync(join(theirs, 'more'), OTHER, OTHER)
  for (const path of [join(root, 'ours', 'f'), join(theirs, 'more', 'f')]) writeFileSync(path, 'old', { mode: 0o600 })
  chownSync(join(theirs, 'more', 'f'), OTHER, OTHER)
  const link = (name: string, to: string) => {
    symlinkSync(to, name)
    execFileSync('chown', ['-h', `${OTHER}:${OTHER}`, name])
  }
  link(join(theirs, 'away'), join(root, 'ours', 'f'))
  link(join(theirs, 'near'), join('more', 'f'))
  // A link of root leads on to one of theirs.
  symlinkSync(join(theirs, 'away'), join(root, 'on'))
  symlinkSync(join(theirs, 'more', 'f'), join(root, 'rightly'))
  for (const path of [join(theirs, 'away'), join(root, 'on')]) {
    t.throws(() => replaceFile(path, 'new', { mode: 0o600 }), {
      code: 'file_unwritable',
      message: /symbolic link of user 65534 leads to a directory of user 0/,
    })
    t.throws(() => removeFile(path), { code: 'file_unwritable' })
    t.throws(() => newFilePath(path, true), { code: 'file_unwritable' })
    t.throws(() => readSmallFile(path), { code: 'EUNTRUSTED' })
  }
  t.equal(readFileSync(join(root, 'ours', 'f'), 'utf8'), 'old')
  for (const path of [join(theirs, 'near'), join(root, 'rightly')]) {
    replaceFile(path, path, { mode: 0o600 })
    t.equal(readFileSync(join(theirs, 'more', 'f'), 'utf8'), path)
    t.match(statSync(join(theirs, 'more', 'f')), { uid: OTHER, gid: OTHER })
  }
})

t.test('root follows a link of a user only to what is that user’s', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  mkdirSync(join(root, 'ours'))
  mkdirSync(join(theirs, 'more'))
  chownSync(join(theirs, 'more'), OTHER, OTHER)
  writeFileSync(join(root, 'shadow'), 'root:hash\n', { mode: 0o600 })
  const link = (name: string, to: string) => {
    symlinkSync(to, join(theirs, name))
    execFileSync('chown', ['-h', `${OTHER}:${OTHER}`, join(theirs, name)])
  }
  link('away', join(root, 'ours'))
  link('near', 'more')
  link('shadow', join(root, 'shadow'))

  t.throws(() => replaceFile(join(theirs, 'away', 'f'), 'x', { mode: 0o600 }), { code: 'file_unwritable' })
  t.throws(() => removeFile(join(theirs, 'away', 'f')), { code: 'file_unwritable' })
  t.throws(() => createFile(join(theirs, 'away', 'f'), 'x', 0o600), { code: 'file_unwritable' })
  t.same(readdirSync(join(root, 'ours')), [])
  replaceFile(join(theirs, 'near', 'f'), 'x', { mode: 0o600 })
  t.match(statSync(join(theirs, 'more', 'f')), { uid: OTHER, gid: OTHER })

  t.throws(() => readSecretsFile(join(theirs, 'shadow')), {
    code: 'config_invalid',
    message: /^(?!.*hash).*symbolic link/,
  })
})

t.test('root lets nobody choose who is given a new file', asRoot, async (t) => {
  const { root } = foreign(t)
  const open = join(root, 'open')
  mkdirSync(open)
  chmodSync(open, 0o1777)
  const planted = join(open, 'planted')
  writeFileSync(planted, '')
  chownSync(planted, OTHER, OTHER)
  t.throws(() => replaceFile(planted, 'secret', { mode: 0o600 }), { code: 'file_unwritable', message: /chown/ })
  chmodSync(open, 0o777)
  t.throws(() => replaceFile(join(open, 'new'), 'secret', { mode: 0o600 }), { message: /chmod o-w/ })
  chownSync(open, 0, 4_242)
  chmodSync(open, 0o775)
  t.throws(() => replaceFile(join(open, 'new'), 'secret', { mode: 0o600 }), { message: /chmod g-w/ })
})

t.test('root makes no backup where another user can put links in its place', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  const write = async (path: string) => writeFileSync(path, 'copy')
  const signal = new AbortController().signal
  await t.rejects(writeWhole(newFilePath(join(theirs, 'copy'), false), false, signal, write), {
    code: 'file_unwritable',
    message: /only root can change/,
  })
  t.same(readdirSync(theirs), [])
  await writeWhole(newFilePath(join(root, 'copy'), false), false, signal, write)
  t.equal(readFileSync(join(root, 'copy'), 'utf8'), 'copy')
})

t.test('root opens no outbox beside which a user has put a link to a file of root', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  const path = join(theirs, 'relay.db')
  const outbox = await SqliteOutbox.open(path, () => {})
  await outbox.close()
  for (const name of readdirSync(theirs)) chownSync(join(theirs, name), OTHER, OTHER)
  openExisting(path).close()
  const victim = join(root, 'victim')
  writeFileSync(victim, '', { mode: 0o600 })
  linkSync(victim, `${path}-wal`)
  t.throws(() => openExisting(path), { code: 'outbox_unusable', message: /relay\.db-wal is a link/ })
  await t.rejects(
    SqliteOutbox.open(path, () => {}),
    { code: 'outbox_unusable', message: /relay\.db-wal is a link/ },
  )
  t.equal(statSync(victim).uid, 0)
})

t.test('root makes no outbox where the link of a user leads', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  mkdirSync(join(root, 'ours'))
  for (const [name, to] of Object.entries({ away: join(root, 'ours'), 'relay.db': join(root, 'ours', 'new') })) {
    symlinkSync(to, join(theirs, name))
    execFileSync('chown', ['-h', `${OTHER}:${OTHER}`, join(theirs, name)])
  }
  for (const path of [
    join(theirs, 'away', 'relay.db'),
    join(theirs, 'away', 'more', 'relay.db'),
    join(theirs, 'relay.db'),
  ]) {
    await t.rejects(
      SqliteOutbox.open(path, () => {}),
      { code: 'outbox_unusable', message: /symbolic link of user 65534/ },
      path,
    )
  }
  t.same(readdirSync(join(root, 'ours')), [])
})

t.test('recordings are swept in no directory but their own', asRoot, async (t) => {
  const { root, theirs } = foreign(t)
  mkdirSync(join(root, 'ours'))
  writeFileSync(join(root, 'ours', 'kept'), 'of root')
  const directory = join(theirs, 'relay.db-recordings')
  symlinkSync(join(root, 'ours'), directory)
  execFileSync('chown', ['-h', `${OTHER}:${OTHER}`, directory])
  const problems: string[] = []
  const files = new RecordingFiles({
    directory,
    needed: async () => [],
    notRemoved: (error) => problems.push(error),
  })
  await files.sweep()
  files.close()
  t.match(problems, [/symbolic link/])
  t.same(readdirSync(join(root, 'ours')), ['kept'])
})

t.test('a recording does not bring back the directory of an outbox that is gone', async (t) => {
  const outbox = join(scratch(t), 'volume')
  const directory = join(outbox, 'relay.db-recordings')
  const files = new RecordingFiles({ directory, needed: async () => [], notRemoved: (error) => t.fail(error) })
  t.teardown(() => files.close())
  async function* audio() {
    yield Buffer.from('RIFF')
  }
  await t.rejects(
    files.receive('evt_1', audio(), 100, async () => {}),
    { code: 'ENOENT' },
  )
  t.notOk(existsSync(outbox))
  mkdirSync(outbox)
  await files.receive('evt_1', audio(), 100, async () => {})
  t.same(readdirSync(directory), ['evt_1'])
})
