import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TIMEOUT_MS = 1_200_000

/** In two halves, so that both cores have as much to do; in one piece where it is said which seeds. */
const SEEDS = ['SEEDS', 'FIRST_SEED'].some((name) => process.env[name] !== undefined)
  ? [[]]
  : [
      ['FIRST_SEED=1', 'SEEDS=10000'],
      ['FIRST_SEED=10001', 'SEEDS=10000'],
    ]

/** Those whose figures another beside them would spoil. */
const MEASURED = ['clients', 'isolation', 'network', 'operators', 'retention', 'soak']

const names = readdirSync(HERE).flatMap((file) => /^(.*)\.fault\.js$/.exec(file)?.[1] ?? [])
const others = names.filter((name) => name !== 'simulation' && !MEASURED.includes(name))

t.jobs = 2
// Those that take longest start first, side by side.
for (const seeds of SEEDS) run('simulation', true, seeds)
for (const name of others) run(name, true)
for (const name of MEASURED) run(name, false)

/** As in `suite.ts`, by `env`. One that is not buffered waits until nothing else runs. */
function run(name: string, buffered: boolean, env: readonly string[] = []): void {
  const file = join(HERE, `${name}.fault.js`)
  const command = ['-u', 'NODE_OPTIONS', ...env, process.execPath, '--enable-source-maps', file]
  t.spawn('/usr/bin/env', command, { buffered, timeout: TIMEOUT_MS }, [relative(process.cwd(), file), ...env].join(' '))
}
