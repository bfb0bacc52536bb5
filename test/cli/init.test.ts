import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCommand } from '../daemon/run-command.ts'

t.test('init writes a configuration that is valid as it stands, with a secret only its owner can read', async (t) => {
  const directory = t.testdir()
  const { code, stdout, stderr } = await runCommand(['init'], directory)
  t.match({ code, stdout }, { code: 0, stdout: 'relay.yaml\nrelay.secret\n' })
  t.match(stderr, /Register .*relay\.secret.*ultravox-relay serve.*trigger call\.ended/s)
  const secret = readFileSync(join(directory, 'relay.secret'), 'utf8')
  t.match(secret, /^[0-9a-f]{48}\n$/)
  t.notMatch(stderr, secret.trim())
  t.equal(statSync(join(directory, 'relay.secret')).mode & 0o777, 0o600)
  const yaml = readFileSync(join(directory, 'relay.yaml'), 'utf8')
  const schema = /^# yaml-language-server: \$schema=(.*)\n/.exec(yaml)?.[1] ?? ''
  t.ok(statSync(schema).isFile(), schema)
  t.notMatch(yaml, /example_do_not_use|cp relay\.example/)
  t.match(await runCommand(['check'], directory), { code: 0, stdout: /is valid: 1 source/, stderr: '' })
})

t.test('init leaves what is there as it is', async (t) => {
  const directory = t.testdir({ 'relay.yaml': 'mine', 'other.secret': 'mine too' })
  for (const [file, there] of [
    ['relay.yaml', 'relay.yaml'],
    ['other.yaml', 'other.secret'],
  ] as const) {
    const { code, stderr } = await runCommand(['init', file], directory)
    t.match({ code, stderr }, { code: 1, stderr: `there is a file ${there} already` })
  }
  t.match(await runCommand(['init', 'no/where.yaml'], directory), {
    code: 1,
    stderr: /there is no directory no: make it first/,
  })
  t.equal(readFileSync(join(directory, 'relay.yaml'), 'utf8'), 'mine')
  t.equal(readFileSync(join(directory, 'other.secret'), 'utf8'), 'mine too')
})

t.test('init leaves nothing behind where it cannot write its configuration', async (t) => {
  const directory = t.testdir({ 'linked.yaml': t.fixture('symlink', 'nowhere') })
  for (const [file, says] of [
    ['linked.yaml', 'there is a file linked.yaml already'],
    ['~/relay.yaml', '~/relay.yaml starts with "~", which only a shell replaces: write the whole path'],
  ] as const) {
    const { code, stderr } = await runCommand(['init', file], directory)
    t.not(code, 0)
    t.match(stderr, says)
  }
  t.same(readdirSync(directory), ['linked.yaml'])
})
