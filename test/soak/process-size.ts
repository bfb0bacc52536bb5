import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** What a process has of the machine. */
export interface ProcessSize {
  readonly residentBytes: number
  /** File descriptors that are no sockets. */
  readonly files: number
  readonly sockets: number
}

/** Of a process that runs, from /proc. */
export function sizeOf(pid: number): ProcessSize {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => opened(pid, fd))
  const sockets = open.filter((each) => each?.startsWith('socket:')).length
  const files = open.filter((each) => each !== null).length - sockets
  return { residentBytes: Number(kilobytes) * 1024, files, sockets }
}

/** What a file descriptor leads to; null where it was closed in between. */
function opened(pid: number, fd: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`)
  } catch {
    return null
  }
}

/** The processes that a process has started and that still run. */
export function childrenOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return listed.split(' ').filter(Boolean).map(Number)
}
