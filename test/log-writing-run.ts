import { createLog } from '../src/log-output.ts'

/**
 * Writes so many log lines of a kilobyte each, has them written and ends. With a second argument, it writes one more line
 * once a line has come on its input.
 */
const [, , count, waits] = process.argv
const { logger, flush } = createLog({ level: 'info' })
for (let number = 0; number < Number(count); number++) logger.info({ number, filling: 'x'.repeat(1_000) }, 'line')
if (waits !== undefined) {
  await new Promise((resolve) => process.stdin.once('data', resolve))
  logger.info('one more')
}
await flush()
process.exit(0)
