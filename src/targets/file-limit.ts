import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What programs that use select(2) can bear: it writes beyond its set for descriptors from here on. */
const SELECT_LIMIT = 1024
/** Descriptors that a running program takes in this process: its three streams. */
const PER_PROGRAM = 3
/** Descriptors for all else: pipes that are kept ready, and the starting of a program. */
const OWN = 128

/**
 * The soft limit of open files (RLIMIT_NOFILE) of this process, which the programs that it starts inherit. Node raises it to
 * the hard limit at its start and cannot lower it again; `prlimit` of util-linux can, for a process that runs. Without it,
 * or without `/proc`, nothing is changed. The hard limit stays, so that a program may raise its own.
 */
export class FileLimit {
  #soft: number
  readonly #hard: number

  constructor() {
    const [soft, hard] = openFilesLimits()
    this.#soft = soft
    this.#hard = hard
  }

  /** Lowers the limit to 1,024, where it is higher. */
  lower(): void {
    if (this.#soft > SELECT_LIMIT) this.#set(SELECT_LIMIT)
  }

  /** Raises the limit where so many programs could not run at once. */
  allow(programs: number): void {
    const needed = OWN + PER_PROGRAM * programs
    if (needed > this.#soft && this.#soft < this.#hard) this.#set(Math.min(2 * needed, this.#hard))
  }

  #set(soft: number): void {
    const limits = `--nofile=${soft}:${this.#hard}`
    const { status } = spawnSync('prlimit', ['--pid', String(process.pid), limits], { stdio: 'ignore' })
    if (status === 0) this.#soft = soft
  }
}

/** Soft and hard limit; 0 where they are not known. */
function openFilesLimits(): [soft: number, hard: number] {
  const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(contentOf('/proc/self/limits')) ?? []
  if (hard === undefined) return [0, 0]
  // The kernel rejects any change that keeps a hard limit above this, which may have been lowered since.
  return [Number(soft), Math.min(Number(hard), Number(contentOf('/proc/sys/fs/nr_open')) || Number.POSITIVE_INFINITY)]
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
