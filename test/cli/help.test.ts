import t from 'tap'
import { createProgram, withSubcommands } from '../../src/cli/program.ts'

t.test('every command that does something has examples in its help', async (t) => {
  const leaves = withSubcommands(createProgram()).filter(({ commands }) => commands.length === 0)
  t.ok(leaves.length >= 20)
  for (const leaf of leaves) {
    let help = ''
    leaf.configureOutput({
      writeOut: (text) => {
        help += text
      },
    })
    leaf.outputHelp()
    const [, name] = /^Usage: (.*?) \[/.exec(help) ?? []
    t.match(help, `\n  ${name}`, `${name} has examples`)
    t.match(help, /\nExamples?:\n {2}ultravox-relay /, name!)
  }
})
