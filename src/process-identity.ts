import { readFileSync, readlinkSync } from 'node:fs'

/** Identifies one run of one process, also after its number has been given to another. */
export interface ProcessIdentity {
  /** The id of the machine's boot; empty where the system does not say. */
  readonly boot: string
  /** The PID namespace that `pid` belongs to, such as `pid:[4026531836]`. */
  readonly namespace: string
  readonly pid: number
  /** In ticks since the boot. */
  readonly started: string
}

export function ownIdentity(): ProcessIdentity {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const namespace = readlinkSync('/proc/self/ns/pid')
    return { boot, namespace, pid: process.pid, started: startTime(process.pid) }
  } catch {
    return { boot: '', namespace: '', pid: process.pid, started: '' }
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
