import t from 'tap'
import { createProgram, withSubcommands } from '../../src/cli/program.ts'

t.test('every command that does something has examples in its help', async (t) => {
  const leaves = withSubcommands(await createProgram()).filter(({ commands }) => commands.length === 0)
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

t.test('of a command that is asked for, only itself is loaded, and it is the same', async (t) => {
  const all = (await createProgram()).commands.map((command) => command.helpInformation())
  const named = (await createProgram()).commands.map((command) => command.name())
  const one = await Promise.all(named.map(async (name) => (await createProgram(name)).commands))
  // Completion is made of all the others.
  t.same(
    one.slice(0, -1).map((commands) => commands.map((command) => command.helpInformation())),
    all.slice(0, -1).map((help) => [help]),
  )
  for (const other of ['completion', 'help', 'srve', '--help', 'toString', undefined]) {
    t.equal((await createProgram(other)).commands.length, all.length, `${other}`)
  }
})
