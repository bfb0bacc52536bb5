import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HOOK = fileURLToPath(new URL('../../../config/hooks/archive.sh', import.meta.url))

t.test('the example hook appends each payload as one line, and leaves nothing else behind', async (t) => {
  const cwd = t.testdir()
  for (const [input, DIR] of [
    ['{"event":"call.started"}', undefined],
    ['{\n "event": "call.ended"\n}\n', 'data'],
  ] as const) {
    execFileSync(HOOK, { input, cwd, env: { PATH: process.env.PATH, ...(DIR && { DIR }) } })
  }
  t.strictSame(readdirSync(join(cwd, 'data')), ['calls.ndjson'])
  const lines = readFileSync(join(cwd, 'data/calls.ndjson'), 'utf8').split('\n')
  t.strictSame(lines, ['{"event":"call.started"}', '{ "event": "call.ended"}', ''])
})
