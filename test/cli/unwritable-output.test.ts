import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MAIN } from '../daemon/relay-process.ts'

t.test('a command whose output cannot be written says whether it is done, with a status of its own', async (t) => {
  if (!existsSync('/dev/full')) return t.plan(0, 'this system has no /dev/full')
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'config', 'reference'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  })
  t.equal(status, 5)
  t.equal(stderr, 'ultravox-relay: the output cannot be written: no space left on the disk (ENOSPC)\n')

  const cwd = t.testdir()
  const init = spawnSync(process.execPath, [MAIN, 'init'], { cwd, stdio: ['ignore', full, 'pipe'], encoding: 'utf8' })
  t.match(init, {
    status: 5,
    stderr: /ultravox-relay: done, but the report could not be written: no space left on the disk \(ENOSPC\)\n$/,
  })
  t.ok(existsSync(join(cwd, 'relay.yaml')), 'it was done')
})
