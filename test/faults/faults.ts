import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TIMEOUT_MS = 1_200_000

/** Those that take longest start first, side by side. */
const LONGEST = ['simulation', 'crash']

/** Those whose figures another beside them would spoil. */
const MEASURED = ['clients', 'isolation', 'network', 'retention', 'soak']

const names = readdirSync(HERE).flatMap((file) => /^(.*)\.fault\.js$/.exec(file)?.[1] ?? [])
const others = names.filter((name) => !MEASURED.includes(name))

t.jobs = 2
for (const name of new Set([...LONGEST, ...others])) run(name, true)
for (const name of MEASURED) run(name, false)

/** As in `suite.ts`, by `env`. One that is not buffered waits until nothing else runs. */
function run(name: string, buffered: boolean): void {
  const file = join(HERE, `${name}.fault.js`)
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', file]
  t.spawn('/usr/bin/env', command, { buffered, timeout: TIMEOUT_MS }, relative(process.cwd(), file))
}
