import type { Command } from 'commander'
import { createProgram, withSubcommands } from '../../src/cli/program.ts'

/** What the commands are about. */
export interface Subjects {
  readonly event: string
  readonly call: string
  readonly deliveries: readonly number[]
  readonly rejections: readonly number[]
  /** Of them, one that nothing proves, and one that holds a genuine event. */
  readonly noise: number
  readonly genuine: number
  /** A URL that tells the time. */
  readonly clock: string
}

/** How a command is run: its arguments, and the statuses that it may end with (0 where nothing is said). */
export interface Run {
  readonly line: string
  readonly codes?: readonly number[]
}

/**
 * Every command that ends by itself, in an order in which each finds something to do; those that take something away come
 * last. `targets`: the names of all.
 */
export function everyCommand(about: Subjects, targets: readonly string[]): Run[] {
  return [
    { line: 'check' },
    { line: 'init new.yaml', codes: [0, 2] },
    { line: 'config show' },
    { line: 'config schema' },
    { line: 'config reference' },
    ...['bash', 'zsh', 'fish'].map((shell) => ({ line: `completion ${shell}`, codes: [0, 2] })),
    { line: 'status' },
    { line: 'tail --lines 1000' },
    { line: 'events list' },
    { line: `events show ${about.event}` },
    { line: 'events gaps' },
    { line: 'calls list' },
    { line: `calls show ${about.call}` },
    { line: 'deliveries list --limit 1000' },
    ...about.deliveries.map((id) => ({ line: `deliveries show ${id}` })),
    { line: 'rejections list' },
    ...about.rejections.map((id) => ({ line: `rejections show ${id}` })),
    { line: 'targets list' },
    ...targets.map((name) => ({ line: `targets test ${name}`, codes: [0, 1] })),
    { line: 'targets probe crm', codes: [0, 1] },
    { line: 'deliveries move --target nobody --to nowhere --yes', codes: [0, 1] },
    { line: 'targets pause crm' },
    { line: 'targets resume crm' },
    { line: `doctor --deep --clock ${about.clock}`, codes: [0, 1] },
    { line: 'clock show' },
    { line: 'clock confirm --yes' },
    { line: 'match event.json' },
    { line: 'sign event.json' },
    { line: 'sign event.json --curl' },
    { line: 'verify event.json --headers signed.txt', codes: [0, 1] },
    { line: 'trigger call.joined' },
    { line: 'backfill --from 1h --dry-run' },
    { line: 'webhooks list' },
    { line: 'webhooks ensure --yes' },
    { line: 'webhooks rotate-secret --yes --after 1s --overlap 0s' },
    { line: 'webhooks delete --configured --yes', codes: [0, 3] },
    { line: 'reload' },
    { line: `deliveries retry ${about.deliveries[0]} --yes` },
    { line: 'deliveries cancel --state pending --yes' },
    { line: `events replay ${about.event} --to hook --yes` },
    { line: `rejections admit ${about.genuine} --yes` },
    { line: `rejections clear ${about.noise} --yes` },
    { line: 'backup backup.db --force' },
    { line: 'restore backup.db --dry-run', codes: [1, 4] },
    { line: 'prune --older-than 1d --yes' },
    { line: `erase --call ${about.call} --cancel --dry-run` },
  ]
}

/** The commands of the program that none of these runs is of. `serve` is the relay itself. */
export async function commandsWithout(runs: readonly Run[]): Promise<string[]> {
  const leaves = withSubcommands(await createProgram()).filter((command) => command.commands.length === 0)
  const names = leaves.map(nameOf).filter((name) => name !== 'serve')
  return names.filter((name) => !runs.some(({ line }) => line === name || line.startsWith(`${name} `)))
}

/** Whether a command can print JSON instead. */
export async function takesJson({ line }: Run): Promise<boolean> {
  const leaf = withSubcommands(await createProgram()).find(
    (command) => `${line} `.startsWith(`${nameOf(command)} `) && command.commands.length === 0,
  )
  return leaf?.options.some(({ long }) => long === '--json') ?? false
}

function nameOf(command: Command): string {
  return command.parent === null ? '' : `${nameOf(command.parent)} ${command.name()}`.trim()
}
