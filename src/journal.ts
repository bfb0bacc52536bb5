import { fstatSync } from 'node:fs'

/** What pino calls a stream by that wants to know each line's level. */
const METADATA = Symbol.for('pino.metadata')

/** pino's levels as those of syslog, from the gravest on. */
const PRIORITIES: readonly [number, number][] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
  [0, 7],
]

/** Whether a file descriptor leads to journald: systemd says which stream is its own, and somebody may have redirected it. */
export function isJournal(fd: number, { JOURNAL_STREAM }: NodeJS.ProcessEnv): boolean {
  if (JOURNAL_STREAM === undefined) return false
  const { dev, ino } = fstatSync(fd)
  return JOURNAL_STREAM === `${dev}:${ino}`
}

/** Puts `<3>` and the like before each line, as journald expects it: `journalctl -p warning` then finds the warnings. */
export function withPriorities(destination: { write(line: string): unknown }) {
  return {
    [METADATA]: true,
    /** Set by pino before each line. */
    lastLevel: 0,
    write(line: string): void {
      const [, priority] = PRIORITIES.find(([level]) => this.lastLevel >= level)!
      destination.write(`<${priority}>${line}`)
    },
  }
}
