import { readdirSync, readFileSync } from 'node:fs'

/** A process as `/proc` shows it. */
interface ProcessState {
  readonly pid: number
  /** Of its program: up to 15 bytes, chosen by the program itself. */
  readonly name: string
  readonly group: number
  /** When it started, in clock ticks since the boot: a number that is given again belongs to another process. */
  readonly startTime: number
  /** Whether it still runs; one that has ended and was not reaped does not. */
  readonly runs: boolean
}

/** A process group, and when the process that it is named after started. */
export interface Group {
  readonly id: number
  /** Null where that could not be seen, for it had ended already. */
  readonly startTime: number | null
}

/** The group that this process leads. */
export function groupOf(pid: number): Group {
  return { id: pid, startTime: stateOf(pid)?.startTime ?? null }
}

/** Whether a process of the group still runs. Undefined where there is no `/proc`. */
export function groupRuns({ id, startTime }: Group): boolean | undefined {
  const leader = stateOf(id)
  // The number was given to another process after the group had ended.
  if (leader !== undefined && leader.startTime !== startTime) return false
  const all = processes()
  return all.length === 0 ? undefined : all.some(({ group, runs }) => group === id && runs)
}

/** Whether a process has this number. False where there is no `/proc`. */
export function isProcess(pid: number): boolean {
  return stateOf(pid) !== undefined
}

/** The names of the processes that run in the group with this number. Undefined where none of it can be seen. */
export function namesInGroup(id: number): string[] | undefined {
  const members = processes().filter(({ group }) => group === id)
  return members.length === 0 ? undefined : members.filter(({ runs }) => runs).map(({ name }) => name)
}

/** The groups led by processes with all of these variables in the environment that they were started with. */
export function groupsWith(env: Readonly<Record<string, string>>): Group[] {
  const wanted = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return processes()
    .filter(({ pid, group, runs }) => runs && pid === group && hasAll(pid, wanted))
    .map(({ pid, startTime }) => ({ id: pid, startTime }))
}

function hasAll(pid: number, wanted: readonly string[]): boolean {
  try {
    const variables = new Set(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0'))
    return wanted.every((each) => variables.has(each))
  } catch {
    // Another user's, or gone.
    return false
  }
}

function processes(): ProcessState[] {
  try {
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (stateOf(Number(name)) ?? []) : []))
  } catch {
    return []
  }
}

function stateOf(pid: number): ProcessState | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name, in parentheses, may hold anything. See proc_pid_stat(5) for the numbers.
    const end = stat.lastIndexOf(')')
    const name = Buffer.from(stat.slice(stat.indexOf('(') + 1, end), 'latin1').toString()
    const fields = stat.slice(end + 2).split(' ')
    const [state, , group] = fields
    return { pid, name, group: Number(group), startTime: Number(fields[22 - 3]), runs: state !== 'Z' && state !== 'X' }
  } catch {
    return undefined
  }
}
