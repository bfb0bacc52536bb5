import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TIMEOUT_MS = 300_000

/** Which files to run, as a regular expression of their paths below `test`; all by default. */
const CHOSEN = new RegExp(process.env.TEST_FILES ?? '')

/** Those that take longest start first, so that none of them is what all wait for at the end. */
const FIRST = ['secrets/', 'ultravox/r', 'daemon/reconcile']
const LONGEST = ['docs/', 'daemon/', 'simulation/', 'crash/', 'targets/exec', 'outbox/']

/** Folders whose files are run by one process: each takes less time than it takes to start one. */
const TOGETHER = [
  'admin',
  'alerts',
  'cli',
  'config',
  'delivery',
  'domain',
  'ingest',
  'outbox',
  'soak',
  'targets',
  'ultravox',
  'upkeep',
]

/** Files in them that take longer, look at what the whole process has open, or change something of it. */
const ALONE =
  /^(cli\/(completion|confirm|init|match|sign-verify)|config\/(fuzz|run-as)|outbox\/(retention|sqlite.*)|targets\/(deadlines|exec.*|hostile-answers|http-exchange|launcher)|ultravox\/(contract|reconciler|rotation|webhook-commands))\.test\.js$/

/**
 * Runs all test files, some at a time. `tap` could do that, and does for single files; but it puts module hooks into every
 * process that it starts, for coverage and mocks that are not used here, and on Node 20 these cost half a second of CPU
 * each. It puts none into what it sees started by `env`.
 */
const files = readdirSync(HERE, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.test.js') && CHOSEN.test(file),
)
const isTogether = (file: string) => TOGETHER.includes(dirname(file)) && !ALONE.test(file)
const alone = files.filter((file) => !isTogether(file))
const starting = (prefixes: readonly string[]) => {
  return prefixes.flatMap((prefix) => alone.filter((file) => file.startsWith(prefix)))
}
const first = starting(FIRST)

t.jobs = 3
for (const file of first) run(shown(file), file)
for (const folder of TOGETHER) {
  const those = files.filter((file) => dirname(file) === folder && isTogether(file)).map(shown)
  if (those.length === 0) continue
  run(`${shown(folder)}, ${those.length} files`, 'together.js', `TOGETHER=${JSON.stringify(those)}`)
}
for (const file of new Set([...starting(LONGEST), ...alone])) {
  if (!first.includes(file)) run(shown(file), file)
}

function shown(path: string): string {
  return relative(process.cwd(), join(HERE, path))
}

function run(name: string, script: string, ...env: readonly string[]): void {
  const command = ['-u', 'NODE_OPTIONS', ...env, process.execPath, '--enable-source-maps', join(HERE, script)]
  t.spawn('/usr/bin/env', command, { buffered: true, timeout: TIMEOUT_MS }, name)
}
