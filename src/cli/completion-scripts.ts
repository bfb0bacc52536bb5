/** A command (the program itself has an empty path) as a shell completes it. */
export interface Completed {
  readonly path: readonly string[]
  readonly description: string
  readonly subcommands: readonly string[]
  readonly options: readonly CompletedOption[]
  /** What its first argument may be; null where it has none. */
  readonly argument: CompletedValue | null
}

export interface CompletedOption {
  /** Such as `-c` and `--config`. */
  readonly flags: readonly string[]
  readonly description: string
  /** Null where it takes no value. */
  readonly value: CompletedValue | null
}

/** The words there are to choose from, perhaps none, or any file. */
type CompletedValue = readonly string[] | 'file'

/** Works with bash from 3.2 (macOS) on, without the bash-completion package. */
export function bashScript(program: string, commands: readonly Completed[]): string {
  const name = `_${program.replaceAll('-', '_')}`
  const known = commands.slice(1).map(({ path }) => `"${path.join(' ')}"`)
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) =>
      value === null
        ? []
        : [
            bashCase(
              flags.map((flag) => [...path, flag].join(' ')),
              value,
            ),
          ],
    ),
  )
  return `# bash completion of ${program}; also for zsh with bashcompinit
${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" next index
  local options="" words="" files=""
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${command:+$command }\${COMP_WORDS[index]}"
    case "$next" in
      ${known.join('|')}) command="$next" ;;
    esac
  done
  case "\${command:+$command }$previous" in
${values.join('')}    *)
      case "$command" in
${commands.map(bashCommand).join('')}      esac
      if [[ "$current" == -* ]]; then words="$options"; fi
      ;;
  esac
  if [[ -z "$files" || "$current" == -* ]]; then
    compopt +o default 2>/dev/null
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
  return 0
}
complete -o default -F ${name} ${program}
`
}

function bashCase(patterns: readonly string[], value: CompletedValue): string {
  return `    ${patterns.map((pattern) => `"${pattern}"`).join('|')}) ${bashWords(value)} ;;\n`
}

function bashCommand({ path, subcommands, options, argument }: Completed): string {
  const flags = options.flatMap((option) => option.flags.filter((flag) => flag.startsWith('--')))
  const words = subcommands.length > 0 ? subcommands : (argument ?? [])
  return `        "${path.join(' ')}") options="${flags.join(' ')}"; ${bashWords(words)} ;;\n`
}

function bashWords(value: CompletedValue): string {
  return value === 'file' ? 'files=1' : `words="${value.join(' ')}"`
}

export function zshScript(program: string, commands: readonly Completed[]): string {
  return `autoload -Uz compinit bashcompinit
(( \${+functions[compdef]} )) || compinit
bashcompinit
${bashScript(program, commands)}`
}

export function fishScript(program: string, commands: readonly Completed[]): string {
  const lines = commands.flatMap(({ path, description, subcommands, options, argument }) => {
    const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`)
    const here = seen.length === 0 ? '__fish_use_subcommand' : seen.join('; and ')
    const parent = path.length === 1 ? '__fish_use_subcommand' : `${seen[0]}; and not ${seen.at(-1)}`
    const self = path.length === 0 ? [] : [`-n ${fish(parent)} -f -a ${path.at(-1)} -d ${fish(description)}`]
    const words = subcommands.length > 0 ? [] : (argument ?? [])
    const own =
      words === 'file' ? [] : [`-n ${fish(here)} -f${words.length === 0 ? '' : ` -a ${fish(words.join(' '))}`}`]
    return [...self, ...own, ...options.map((option) => `-n ${fish(here)} ${fishOption(option)}`)]
  })
  return `# fish completion of ${program}\n${lines.map((line) => `complete -c ${program} ${line}\n`).join('')}`
}

function fishOption({ flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ')
  const takes =
    value === null ? '' : value === 'file' ? ' -r -F' : ` -x${value.length === 0 ? '' : ` -a ${fish(value.join(' '))}`}`
  return `${names}${takes} -d ${fish(description)}`
}

function fish(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
