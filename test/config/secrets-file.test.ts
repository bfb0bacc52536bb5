import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addToSecretsFile, readSecretsFile, removeFromSecretsFile } from '../../src/config/secrets-file.ts'
import { Secret } from '../../src/domain/secret.ts'
import { secretFingerprint } from '../../src/domain/secret-fingerprint.ts'
import { load } from './relay-yaml.ts'

const texts = (secrets: readonly Secret[]) => secrets.map((secret) => secret.reveal())

t.test('a secret a line, blank lines and comments passed over, each secret once', async (t) => {
  const directory = t.testdir({ s: '# ours\n\n  one \ntwo#with a hash\r\none\n' })
  t.same(texts(readSecretsFile(join(directory, 's'))!.secrets), ['one', 'two#with a hash'])
  t.equal(readSecretsFile(join(directory, 'none')), null)
})

t.test('the secrets of the configuration and those of the file count, whatever the directory', async (t) => {
  const yaml = 'sources:\n  a: { scheme: ultravox, secrets: [zero-long-enough-secret], secretsFile: ./s }'
  const { a } = load(t, yaml, { files: { s: 'one-long-enough-secret\ntwo-long-enough-secret\n' } }).config.sources
  t.same(
    a?.scheme === 'ultravox' && texts(a.secrets),
    ['zero', 'one', 'two'].map((each) => `${each}-long-enough-secret`),
  )
})

t.test('a file that is made is for its owner only; one that is changed keeps the rest of its text', async (t) => {
  const path = join(t.testdir(), 's')
  addToSecretsFile(path, new Secret('one'), path)
  t.equal(statSync(path).mode & 0o777, 0o600)
  writeFileSync(path, '# first\none\n\n# second\ntwo')
  chmodSync(path, 0o644)
  addToSecretsFile(path, new Secret('three'), path)
  t.equal(readFileSync(path, 'utf8'), '# first\none\n\n# second\ntwo\nthree\n')
  t.equal(statSync(path).mode & 0o777, 0o600)
  removeFromSecretsFile(path, [new Secret('two'), new Secret('# first')].map(secretFingerprint))
  t.equal(readFileSync(path, 'utf8'), '# first\none\n\n# second\nthree\n')
  t.same(readdirSync(join(path, '..')), ['s'], 'nothing is left beside it')
})

t.test('a new file has the owner of another where root writes it', { skip: process.getuid?.() !== 0 }, async (t) => {
  const directory = t.testdir({ like: '' })
  const { chownSync } = await import('node:fs')
  chownSync(join(directory, 'like'), 4242, 4243)
  const path = join(directory, 's')
  addToSecretsFile(path, new Secret('one'), join(directory, 'like'))
  t.match(statSync(path), { uid: 4242, gid: 4243 })
  chownSync(path, 4244, 4245)
  addToSecretsFile(path, new Secret('two'), join(directory, 'like'))
  t.match(statSync(path), { uid: 4244, gid: 4245 })
})

t.test('where it cannot be written, that is said', async (t) => {
  const path = join(t.testdir(), 'no', 'such', 's')
  t.throws(() => addToSecretsFile(path, new Secret('one'), path), {
    code: 'file_unwritable',
    message: /there is no such directory/,
  })
})
