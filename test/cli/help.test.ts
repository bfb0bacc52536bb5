import t from 'tap'
import { runRelay } from '../daemon/relay-process.ts'

t.test('every command that does something has examples in its help', async (t) => {
  const directory = t.testdir()
  const { stdout: script } = await runRelay(['completion', 'bash'], directory)
  const all = [...script.matchAll(/^ {8}"([^"]+)"\) options=/gm)].map(([, path]) => path!)
  const leaves = all.filter((path) => !all.some((other) => other.startsWith(`${path} `)))
  t.ok(leaves.length >= 20, leaves.join(', '))
  await Promise.all(
    leaves.map(async (path) => {
      const stdout = new RegExp(`\\nExamples?:\\n  ultravox-relay ${path}\\b`)
      t.match(await runRelay([...path.split(' '), '--help'], directory), { code: 0, stdout }, path)
    }),
  )
})
