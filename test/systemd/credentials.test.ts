import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changedCredentials, serviceCredentials } from '../../src/systemd/credentials.ts'
import { scratch } from '../scratch.ts'

t.test('credentials are compared with what LoadCredential= names: files, and files in directories', (t) => {
  const directory = scratch(t)
  const [copies, secrets] = ['copies', 'secrets'].map((name) => join(directory, name)) as [string, string]
  for (const each of [copies, secrets, join(secrets, 'deep')]) mkdirSync(each)
  const sources = [
    { id: 'relay', path: secrets, isEncrypted: false },
    { id: 'relay_token', path: join(directory, 'token'), isEncrypted: false },
    { id: 'sealed', path: join(directory, 'sealed'), isEncrypted: true },
    { id: 'socket', path: join(directory, 'gone'), isEncrypted: false },
  ]
  const write = (path: string, text: string) => writeFileSync(join(directory, path), text)
  for (const [name, path] of [
    ['relay_webhook', 'secrets/webhook'],
    ['relay_deep_key', 'secrets/deep/key'],
    ['relay_token', 'token'],
    ['socket', 'copies/socket'],
  ] as const) {
    write(path, `of ${name}`)
    write(`copies/${name}`, `of ${name}`)
  }
  write('sealed', 'encrypted')
  write('copies/sealed', 'plain')
  const startedAt = 1_800_000_000_000
  utimesSync(join(directory, 'sealed'), startedAt / 1_000, startedAt / 1_000)
  t.same(changedCredentials(copies, sources, startedAt), [])

  write('secrets/webhook', 'another')
  write('secrets/new', 'new')
  rmSync(join(secrets, 'deep/key'))
  utimesSync(join(directory, 'sealed'), startedAt / 1_000 + 1, startedAt / 1_000 + 1)
  const changes = changedCredentials(copies, sources, startedAt)
  t.same(changes.map(({ name, change }) => `${name} ${change}`).sort(), [
    'relay_deep_key removed',
    'relay_new added',
    'relay_webhook changed',
    'sealed changed',
  ])
  t.equal(changes.find(({ name }) => name === 'relay_webhook')?.source, join(secrets, 'webhook'))
  t.end()
})

t.test('a process that is not a service of systemd has none', (t) => {
  t.equal(serviceCredentials(process.pid, 0), null)
  t.equal(serviceCredentials(999_999_999, 0), null)
  t.end()
})
