import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import t from 'tap'
import { MAIN } from '../daemon/relay-process.ts'

t.test('a command whose output cannot be written ends with one sentence', async (t) => {
  if (!existsSync('/dev/full')) return t.plan(0, 'this system has no /dev/full')
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'config', 'reference'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  })
  t.equal(status, 1)
  t.equal(stderr, 'ultravox-relay: the output cannot be written: no space left on the disk\n')
})
