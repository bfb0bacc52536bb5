import { pathToFileURL } from 'node:url'
import t from 'tap'

/**
 * Runs the test files that `TOGETHER` in the environment names (as JSON) in one process, one after the other. Not its
 * arguments: tap names directories after these.
 */
const files = JSON.parse(process.env.TOGETHER!) as string[]
delete process.env.TOGETHER
for (const file of files) {
  t.comment(file)
  await import(pathToFileURL(file).href)
}
