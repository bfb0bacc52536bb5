import { Argument, Command } from 'commander'
import { RELAY_EVENTS } from '../domain/relay-events.ts'
import { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'
import { bashScript, type Completed, type CompletedValue, fishScript, zshScript } from './completion-scripts.ts'
import { writeOut } from './output.ts'
import { examples } from './printing.ts'

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript }

/**
 * Prints what completes the commands and options of `program` in a shell, made of the program itself. The script starts the program
 * only for names of the configuration: libraries for this do so at every TAB, and evaluate in the shell what has been typed so far.
 */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .description('print a script that completes commands, options and their values in your shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      `\nIn ~/.bashrc or ~/.zshrc:
  source <(ultravox-relay completion bash)
In fish, once:
  ultravox-relay completion fish > ~/.config/fish/completions/ultravox-relay.fish
${examples('completion bash', 'completion zsh', 'completion fish')}`,
    )
    .action((shell: keyof typeof SCRIPTS) => {
      writeOut(SCRIPTS[shell](program.name(), completed(program, [])))
    })
}

/** The program and all of its commands, from the top. */
function completed(command: Command, path: readonly string[]): Completed[] {
  const [argument] = command.registeredArguments
  const options = command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      description: option.description,
      value: option.required ? (VALUES[option.long ?? ''] ?? valueFor(option.flags, option.argChoices)) : null,
    }))
  return [
    {
      path,
      description: command.description(),
      options,
      argument: argument === undefined ? null : argumentOf(argument, path),
      subcommands: command.commands.map((each) => each.name()),
    },
    ...command.commands.flatMap((each) => completed(each, [...path, each.name()])),
  ]
}

const TARGETS = { configured: 'targets' } as const

/** What is chosen from, of options that have the same meaning at every command. */
const VALUES: Readonly<Record<string, CompletedValue>> = {
  '--target': TARGETS,
  '--to': TARGETS,
  '--to-target': TARGETS,
  '--failed-at': TARGETS,
  '--source': { configured: 'sources' },
  '--event': [...LIFECYCLE_EVENTS, ...RELAY_EVENTS],
}

function argumentOf(argument: Argument, path: readonly string[]): CompletedValue {
  if (argument.name() === 'event') return LIFECYCLE_EVENTS
  return path[0] === 'targets' ? TARGETS : valueFor(argument.name(), argument.argChoices)
}

/** `<file>` is what the files' names are written as throughout. */
function valueFor(flags: string, choices: readonly string[] | undefined): readonly string[] | 'file' {
  return choices ?? (/\bfile>?$/.test(flags) ? 'file' : [])
}
