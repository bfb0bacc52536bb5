import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

t.test('the demo ends with everything as promised', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL('./demo.js', import.meta.url))])
  t.match(stdout, /All as promised\.\n$/)
  t.notMatch(stdout, '✗')
})
