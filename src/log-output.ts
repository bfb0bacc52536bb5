import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { Config } from './config/config.ts'
import { printableJson } from './domain/printable.ts'
import { isJournal, withPriorities } from './journal.ts'
import { gatherLines, type LineWriter } from './line-writer.ts'

/** Most that may wait for a stdout that nobody reads, in bytes; lines beyond it are dropped, the relay goes on. */
const MOST_WAITING = 16 * 1024 * 1024

/** How long is waited at the end for somebody to read something of stdout, and how long for all of it to be read. */
const UNREAD_MS = 1_000
const FLUSH_MS = 10_000

/** A logger, and how to have written what it was given. */
export interface Log {
  readonly logger: Logger
  /** Writes what waits, for as long as somebody reads it: a stdout that nobody reads must not keep the relay from ending. */
  flush(): Promise<void>
}

export interface LogOptions {
  /** Lines less grave are left out; `logger.level` changes it. */
  readonly level: Config['log']['level']
  /** Makes each line, JSON, into what is written. Absent: it is written as it is, and journald is told its level. */
  readonly shape?: (json: string) => string
}

/** Lines on stdout, written in the background: nothing waits for whoever reads them. */
export function createLog({ level, shape }: LogOptions): Log {
  // With the stream's own least length, 0, a flush of it does not wait for what is being written.
  const stdout = pino.destination({ fd: 1, sync: false, maxLength: MOST_WAITING, minLength: 1 })
  const destination = gatherLines(stdout)
  // Before the stream's own last flush, which begins at the same event.
  process.prependListener('exit', destination.handOver)
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  }
  const lines =
    shape === undefined
      ? asJson({ ...destination, write: (json) => destination.write(printableJson(json)) })
      : { write: (json: string) => destination.write(shape(json)) }
  const logger = pino(options, lines)
  tellDropped(stdout, logger)
  return {
    logger,
    flush: () =>
      new Promise((resolve) => {
        const giveUp = () => {
          // Its last try, when the process exits, would go on for as long as nobody reads.
          stdout.flushSync = () => {}
          resolve()
        }
        const unread = setTimeout(giveUp, UNREAD_MS).unref()
        stdout.on('write', () => unread.refresh())
        setTimeout(giveUp, FLUSH_MS).unref()
        void destination.flush().then(resolve)
      }),
  }
}

/** Says how much there was no room for, once there is room again. */
function tellDropped(stdout: ReturnType<typeof pino.destination>, logger: Logger): void {
  let dropped = 0
  stdout.on('drop', (text: string) => {
    dropped += text.length
  })
  stdout.on('drain', () => {
    if (dropped === 0) return
    logger.warn({ characters: dropped }, 'log dropped: nobody read it')
    dropped = 0
  })
}

function asJson(destination: LineWriter) {
  return isJournal(1, process.env) ? withPriorities(destination) : destination
}
