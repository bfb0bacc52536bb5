import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { MAIN, writeConfig } from './daemon/relay-process.ts'
import { eventually } from './eventually.ts'
import { scratch } from './scratch.ts'

/** Runs a relay with its stdout in a file until it has started and ended; `journal` is what systemd says of that file. */
async function linesOf(journal: (stat: { dev: number; ino: number }) => string): Promise<string[]> {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources: { open: { scheme: 'none' } },
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const out = join(directory, 'out')
  const fd = openSync(out, 'w')
  const env = { PATH: process.env.PATH, JOURNAL_STREAM: journal(statSync(out)) }
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
    cwd: dirname(config),
    env,
    stdio: ['ignore', fd, 'ignore'],
  })
  closeSync(fd)
  const text = () => readFileSync(out, 'utf8')
  await eventually(() => text().includes('relay started'), 'it starts')
  child.kill('SIGTERM')
  await once(child, 'exit')
  return text().split('\n').slice(0, -1)
}

t.test('journald is told the level of each line', async (t) => {
  const lines = await linesOf(({ dev, ino }) => `${dev}:${ino}`)
  for (const line of lines) {
    const [, priority, json] = /^<(\d)>(\{.*\})$/.exec(line) ?? []
    const { level } = JSON.parse(json!) as { level: string }
    t.equal(priority, { info: '6', warn: '4', error: '3' }[level], line)
  }
  t.ok(lines.some((line) => line.includes('"relay stopped"')))
})

t.test('where stdout was led elsewhere, lines are plain JSON', async (t) => {
  const lines = await linesOf(() => '1:2')
  t.ok(lines.length > 1)
  for (const line of lines) t.type(JSON.parse(line), 'object')
})
