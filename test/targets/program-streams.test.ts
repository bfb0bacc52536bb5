import { existsSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runProcessGroup } from '../../src/targets/process-group.ts'
import { removeLeftStreams } from '../../src/targets/program-streams.ts'
import { running } from './sample-delivery.ts'

t.test('where mkfifo is missing, hooks run all the same, with their input as a file', async (t) => {
  const { PATH } = process.env
  process.env.PATH = '/nonexistent'
  t.teardown(() => Object.assign(process.env, { PATH }))
  const script = 'cat /dev/stdin; echo printed; echo trouble >&2'
  const options = { command: ['/bin/sh', '-c', script], directory: '/', env: { PATH: PATH ?? '' } } as const
  for (let round = 0; round < 2; round++) {
    const ending = await runProcessGroup({ ...options, input: Buffer.from('body\n'), timeoutMs: 60_000 }, running)
    t.match(ending, { code: 0, stdout: 'body\nprinted\n', stderr: 'trouble\n', isOutputHeld: false })
  }
})

t.test('names that a killed launcher has left are removed, those in use are not', (t) => {
  const [left, inUse] = ['left', 'in-use'].map((name) => join(tmpdir(), `relay-input-test-${process.pid}-${name}`))
  t.teardown(() => rmSync(inUse!, { force: true }))
  for (const path of [left!, inUse!]) writeFileSync(path, 'body')
  const now = Date.now()
  utimesSync(left!, (now - 61_000) / 1_000, (now - 61_000) / 1_000)
  removeLeftStreams(now)
  t.notOk(existsSync(left!))
  t.ok(existsSync(inUse!))
  t.end()
})
