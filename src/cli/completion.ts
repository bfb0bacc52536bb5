import { Argument, Command } from 'commander'
import { bashScript, type Completed, fishScript, zshScript } from './completion-scripts.ts'
import { writeOut } from './output.ts'
import { examples } from './printing.ts'

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript }

/**
 * Prints what completes the commands and options of `program` in a shell, made of the program itself. A script that needs no
 * Node at each TAB: libraries for this start the program every time, and evaluate in the shell what has been typed so far.
 */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .description('print a script that completes commands and options in your shell')
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
      value: option.required ? valueFor(option.flags, option.argChoices) : null,
    }))
  return [
    {
      path,
      description: command.description(),
      options,
      argument: argument === undefined ? null : valueFor(argument.name(), argument.argChoices),
      subcommands: command.commands.map((each) => each.name()),
    },
    ...command.commands.flatMap((each) => completed(each, [...path, each.name()])),
  ]
}

/** `<file>` is what the files' names are written as throughout. */
function valueFor(flags: string, choices: readonly string[] | undefined): readonly string[] | 'file' {
  return choices ?? (/\bfile>?$/.test(flags) ? 'file' : [])
}
