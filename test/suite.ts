import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TIMEOUT_MS = 180_000

/** Those that take longest start first, so that none of them is what all wait for at the end. */
const LONGEST = ['docs/', 'secrets/', 'daemon/', 'targets/exec', 'outbox/']

/**
 * Runs all test files, some at a time. `tap` could do that, and does for single files; but it puts module hooks into every
 * process that it starts, for coverage and mocks that are not used here, and on Node 20 these cost half a second of CPU
 * each. It puts none into what it sees started by `env`.
 */
const files = readdirSync(HERE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.js'))
const longest = LONGEST.flatMap((start) => files.filter((file) => file.startsWith(start)))

t.jobs = 3
for (const file of new Set([...longest, ...files])) {
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', join(HERE, file)]
  t.spawn('/usr/bin/env', command, { buffered: true, timeout: TIMEOUT_MS }, relative(process.cwd(), join(HERE, file)))
}
