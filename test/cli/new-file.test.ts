import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readInput } from '../../src/cli/input-file.ts'
import { newFilePath, writeWhole } from '../../src/cli/new-file.ts'

const never = new AbortController().signal

t.test('a file gets its name only when it is whole, and is readable by its owner only', async (t) => {
  const directory = t.testdir()
  const file = newFilePath(join(directory, 'copy'), false)
  const value = await writeWhole(file, false, never, async (path) => {
    t.not(path, file)
    t.equal(statSync(path).mode & 0o777, 0o600)
    writeFileSync(path, 'whole')
    t.same(readdirSync(directory).includes('copy'), false)
    return 7
  })
  t.equal(value, 7)
  t.same(readdirSync(directory), ['copy'])
  t.equal(readFileSync(file, 'utf8'), 'whole')
})

t.test('what fails or is interrupted leaves nothing behind, side files neither', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'copy')
  const fail = async (path: string) => {
    writeFileSync(`${path}-journal`, '')
    throw new Error('disk full')
  }
  await t.rejects(writeWhole(file, false, never, fail), { message: 'disk full' })
  const interrupted = AbortSignal.abort(new Error('interrupted'))
  await t.rejects(
    writeWhole(file, false, interrupted, async () => 0),
    { message: 'interrupted' },
  )
  t.same(readdirSync(directory), [])
})

t.test('a file that somebody else has made meanwhile stays', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'copy')
  const work = writeWhole(file, false, never, async () => writeFileSync(file, 'theirs'))
  await t.rejects(work, { code: 'usage', message: /--force/ })
  t.equal(readFileSync(file, 'utf8'), 'theirs')
  await writeWhole(file, true, never, async (path) => writeFileSync(path, 'ours'))
  t.equal(readFileSync(file, 'utf8'), 'ours')
})

t.test('a path that begins with ~ is not taken for a directory of that name', (t) => {
  t.throws(() => newFilePath('~/copy', false), { code: 'usage', message: /^~\/copy starts with "~"/ })
  t.throws(() => readInput('~/body.json'), { code: 'usage', message: /^~\/body\.json starts with "~"/ })
  t.end()
})
