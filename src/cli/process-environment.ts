import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'

/** Wanted by programs, and by Node itself later on. */
const KEPT: ReadonlySet<string> = new Set(['PATH', 'HOME', 'LANG', 'TZ'])

/**
 * Overwrites the values of these variables where the kernel shows them: `/proc/PID/environ` is the memory that the process was
 * started with, which every program of the same user can read and no change of `process.env` reaches. In `process.env`
 * they stay, for the next reload. `init`: a process that has handed the environment on and does not use it. False where that is
 * not possible: no `/proc`, another system, or not permitted.
 */
export function hideFromProc(names: Iterable<string>, init?: number): boolean {
  const hidden = Object.fromEntries(
    [...names].flatMap((name) =>
      KEPT.has(name) || process.env[name] === undefined ? [] : [[name, process.env[name]]],
    ),
  )
  // Assigned, a variable is a copy in memory of its own; what it was before is not used any more.
  Object.assign(process.env, hidden)
  try {
    overwrite(hidden, 'self')
    if (init !== undefined) overwrite(hidden, init)
    return true
  } catch {
    return false
  }
}

/** Throws where the memory of the process cannot be written. */
function overwrite(hidden: object, process: 'self' | number): void {
  const { start, length } = environmentArea(process)
  const memory = openSync(`/proc/${process}/mem`, 'r+')
  try {
    const area = Buffer.alloc(length)
    readSync(memory, area, 0, length, start)
    for (const { name, valueAt, valueLength } of variablesIn(area)) {
      if (Object.hasOwn(hidden, name)) writeSync(memory, Buffer.alloc(valueLength), 0, valueLength, start + valueAt)
    }
  } finally {
    closeSync(memory)
  }
}

/** Where the environment that a process was started with lies in its memory. */
function environmentArea(process: 'self' | number): { start: number; length: number } {
  const stat = readFileSync(`/proc/${process}/stat`, 'latin1')
  // After the name, in parentheses, comes the third. See proc_pid_stat(5) for the numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [start, end] = [Number(fields[50 - 3]), Number(fields[51 - 3])]
  return { start, length: end - start }
}

function* variablesIn(area: Buffer): Iterable<{ name: string; valueAt: number; valueLength: number }> {
  for (let at = 0; at < area.length; ) {
    const end = area.indexOf(0, at) === -1 ? area.length : area.indexOf(0, at)
    const equals = area.subarray(at, end).indexOf('=')
    if (equals > 0) {
      const valueAt = at + equals + 1
      yield { name: area.toString('utf8', at, at + equals), valueAt, valueLength: end - valueAt }
    }
    at = end + 1
  }
}
