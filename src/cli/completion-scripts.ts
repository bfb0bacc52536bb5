/** The first argument by which a script asks for names of the configuration. Not a command, so that no help shows it. */
export const NAMES = '__names'

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

/** The words to choose from, perhaps none; any file; or the names in a section of the configuration. */
export type CompletedValue = readonly string[] | 'file' | { readonly configured: 'targets' | 'sources' }

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
              bashWords(name, value),
            ),
          ],
    ),
  )
  return `# bash completion of ${program}; also for zsh with bashcompinit
${name}_names() {
  "\${COMP_WORDS[0]}" ${NAMES} "$1" "\${COMP_WORDS[@]}" 2>/dev/null
}
${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" next index
  local options="" words="" files=""
  COMPREPLY=()
  if [[ "$current" == "=" ]]; then current=""; elif [[ "$previous" == "=" ]]; then previous="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${command:+$command }\${COMP_WORDS[index]}"
    case "$next" in
      ${known.join('|')}) command="$next" ;;
    esac
  done
  case "\${command:+$command }$previous" in
${values.join('')}    *)
      case "$command" in
${commands.map((command) => bashCommand(name, command)).join('')}      esac
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

function bashCase(patterns: readonly string[], words: string): string {
  return `    ${patterns.map((pattern) => `"${pattern}"`).join('|')}) ${words} ;;\n`
}

function bashCommand(name: string, { path, subcommands, options, argument }: Completed): string {
  const flags = options.flatMap((option) => option.flags.filter((flag) => flag.startsWith('--')))
  const words = subcommands.length > 0 ? subcommands : (argument ?? [])
  return `        "${path.join(' ')}") options="${flags.join(' ')}"; ${bashWords(name, words)} ;;\n`
}

function bashWords(name: string, value: CompletedValue): string {
  if (value === 'file') return 'files=1'
  return 'configured' in value ? `words="$(${name}_names ${value.configured})"` : `words="${value.join(' ')}"`
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
    const own = words === 'file' ? [] : [`-n ${fish(here)} -f${fishWords(program, words)}`]
    return [...self, ...own, ...options.map((option) => `-n ${fish(here)} ${fishOption(program, option)}`)]
  })
  const names = `function ${fishNames(program)}
  set -l words (commandline -opc)
  $words[1] ${NAMES} $argv[1] $words 2>/dev/null
end
`
  return `# fish completion of ${program}\n${names}${lines.map((line) => `complete -c ${program} ${line}\n`).join('')}`
}

function fishOption(program: string, { flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ')
  const takes = value === null ? '' : value === 'file' ? ' -r -F' : ` -x${fishWords(program, value)}`
  return `${names}${takes} -d ${fish(description)}`
}

function fishWords(program: string, value: Exclude<CompletedValue, 'file'>): string {
  if ('configured' in value) return ` -a ${fish(`(${fishNames(program)} ${value.configured})`)}`
  return value.length === 0 ? '' : ` -a ${fish(value.join(' '))}`
}

function fishNames(program: string): string {
  return `__${program.replaceAll('-', '_')}_names`
}

function fish(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
