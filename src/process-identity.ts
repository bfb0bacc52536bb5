import { readFileSync, readlinkSync } from 'node:fs'

/** Identifies one run of one process, also after its number has been given to another. */
export interface ProcessIdentity {
  /** The id of the machine's boot; empty where the system does not say, as in a unit with `ProcSubset=pid`. */
  readonly boot: string
  /** The PID namespace that `pid` belongs to, such as `pid:[4026531836]`; empty where the system does not say. */
  readonly namespace: string
  readonly pid: number
  /** In ticks since the boot; empty where the system does not say. */
  readonly started: string
}

export function ownIdentity(): ProcessIdentity {
  const boot = said(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  const namespace = said(() => readlinkSync('/proc/self/ns/pid'))
  return { boot, namespace, pid: process.pid, started: said(() => startTime(process.pid)) }
}

function said(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}

/**
 * Whether the process of this PID namespace and boot that was started at `started` runs. Undefined where there is a process of that
 * number and the system hides it, as `hidepid` and `ProtectProc=invisible` do with those of other users.
 */
export function isProcessRunning(pid: number, started: string): boolean | undefined {
  try {
    return startTime(pid) === started
  } catch {
    return isThere(pid) ? undefined : false
  }
}

/** Whether there is a process of this number. */
export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/**
 * When a process was started, in ticks since the boot; empty for a zombie, which does nothing any more. Throws errors of
 * `node:fs` where there is no such process.
 */
export function startTime(pid: number): string {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The 22nd field. The second may hold blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : fields[19]!
}
