import { Command } from 'commander'
import { VERSION } from '../version.ts'
import { NAMES } from './completion-scripts.ts'
import { envFileOption, loadEnvFile } from './env-file.ts'
import { writeError, writeOut } from './output.ts'
import { applyOutput, outputOption } from './output-form.ts'
import { colorOption, setColor } from './style.ts'

const USAGE_STATUS = 2

/** The commands in the order of the help, each loaded when it is needed: most of a command's time goes into loading. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  init: async () => (await import('./init.ts')).initCommand(),
  serve: async () => (await import('./serve.ts')).serveCommand(),
  check: async () => (await import('./check.ts')).checkCommand(),
  reload: async () => (await import('./reload.ts')).reloadCommand(),
  trigger: async () => (await import('./trigger.ts')).triggerCommand(),
  status: async () => (await import('./status.ts')).statusCommand(),
  tail: async () => (await import('./tail.ts')).tailCommand(),
  events: async () => (await import('./events.ts')).eventsCommand(),
  calls: async () => (await import('./calls.ts')).callsCommand(),
  deliveries: async () => (await import('./deliveries.ts')).deliveriesCommand(),
  rejections: async () => (await import('./rejections.ts')).rejectionsCommand(),
  targets: async () => (await import('./targets.ts')).targetsCommand(),
  backfill: async () => (await import('./backfill.ts')).backfillCommand(),
  webhooks: async () => (await import('./webhooks.ts')).webhooksCommand(),
  backup: async () => (await import('./backup.ts')).backupCommand(),
  restore: async () => (await import('./restore.ts')).restoreCommand(),
  clock: async () => (await import('./clock.ts')).clockCommand(),
  prune: async () => (await import('./prune.ts')).pruneCommand(),
  erase: async () => (await import('./erase.ts')).eraseCommand(),
  doctor: async () => (await import('./doctor.ts')).doctorCommand(),
  match: async () => (await import('./match.ts')).matchCommand(),
  sign: async () => (await import('./sign.ts')).signCommand(),
  verify: async () => (await import('./verify.ts')).verifyCommand(),
  config: async () => (await import('./config.ts')).configCommand(),
}

/**
 * The program with all of its commands; with only the one that is asked for by its first argument, if it is one. Then nothing
 * else can be told of: help, suggestions and completion need all of them.
 */
export async function createProgram(asked?: string): Promise<Command> {
  const program = new Command('ultravox-relay')
    .description('Verifies Ultravox webhooks, stores them durably and delivers each one to your own systems.')
    .version(VERSION)
  const one = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? COMMANDS[asked] : undefined
  const made = await Promise.all((one === undefined ? Object.values(COMMANDS) : [one]).map((make) => make()))
  for (const command of made) program.addCommand(command)
  if (one === undefined) {
    const { completionCommand } = await import('./completion.ts')
    program.addCommand(completionCommand(program))
  }
  for (const command of withSubcommands(program)) {
    command.configureOutput({ writeOut, writeErr: writeError })
    command.showHelpAfterError('(--help tells how it is used)').exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS)
    })
    if (command.commands.length === 0) command.addOption(colorOption())
    if (command.options.some(({ long }) => long === '--json')) command.addOption(outputOption())
    if (command.options.some(({ long }) => long === '--config')) command.addOption(envFileOption())
  }
  program.hook('preAction', (_, action) => {
    const { color, envFile } = action.opts()
    setColor(color)
    applyOutput(action)
    if (envFile !== undefined) loadEnvFile(envFile)
  })
  return program
}

/** Runs a command line, without the program's own name. */
export async function runProgram(args: readonly string[]): Promise<void> {
  if (args[0] === NAMES) {
    const { printNames } = await import('./completion-names.ts')
    printNames(args.slice(1))
    return
  }
  const path = helpPath(args)
  const program = await createProgram((path ?? args)[0])
  await program.parseAsync(path === undefined ? args : helpArguments(program, path), { from: 'user' })
}

/**
 * The command whose help is asked for by the word `help`, before or among the names of commands, such as `help deliveries retry`
 * or `deliveries help retry`; undefined where it is not. Commander itself looks no further than one name.
 */
function helpPath(args: readonly string[]): readonly string[] | undefined {
  const [first, second] = args
  if (first === 'help') return args.slice(1)
  return second === 'help' && Object.hasOwn(COMMANDS, first!) ? [first!, ...args.slice(2)] : undefined
}

/** What prints the help of the command at `path`. Without `--help` for a name that does not exist: it is then reported. */
function helpArguments(program: Command, path: readonly string[]): string[] {
  const names: string[] = []
  let command = program
  for (const name of path) {
    const found = command.commands.find((each) => each.name() === name)
    if (found === undefined)
      return command.commands.length === 0 || name.startsWith('-') ? [...names, '--help'] : [...names, name]
    names.push(name)
    command = found
  }
  return [...names, '--help']
}

/** A command and all that are under it. */
export function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}
