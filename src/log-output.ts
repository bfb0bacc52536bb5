import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { Config } from './config/config.ts'
import { DescriptorSink } from './descriptor-sink.ts'
import { printableJson } from './domain/printable.ts'
import { isJournal, withPriorities } from './journal.ts'
import { gatherLines, type LineWriter } from './line-writer.ts'

/** How long the end waits for a reader of stdout to take something, and for it to take all of it. */
const UNREAD_MS = 1_000
const FLUSH_MS = 10_000

/** A logger, and how to have written what it was given. */
export interface Log {
  readonly logger: Logger
  /** Lines that could not be written since the start. */
  dropped(): number
  /** Writes what waits, for as long as it is read: an unread stdout must not keep the relay from ending. Never rejects. */
  flush(): Promise<void>
}

export interface LogOptions {
  /** Lines less grave are left out; `logger.level` changes it. */
  readonly level: Config['log']['level']
  /** Makes each line, JSON, into what is written. Absent: it is written as it is, and journald is told its level. */
  readonly shape?: (json: string) => string
}

/**
 * Logs to stdout, in the background. A stdout that cannot be written to (a closed terminal, a reader that is gone or does not
 * read, a full disk) costs lines, never the relay: they are counted, and reported once writing works again.
 */
export function createLog({ level, shape }: LogOptions): Log {
  const progress = new Set<() => void>()
  const sink = new DescriptorSink({
    fd: 1,
    written() {
      for (const tell of progress) tell()
    },
    recovered: (dropped, error) => logger.warn({ ...dropped, error: error ?? 'stdout was not read' }, 'log dropped'),
  })
  const destination = gatherLines(sink)
  const writeLast = () => {
    destination.handOver()
    sink.writeLast()
  }
  process.once('exit', writeLast)
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
  return {
    logger,
    dropped: () => sink.dropped,
    flush: () =>
      new Promise((resolve) => {
        const end = () => {
          clearTimeout(unread)
          clearTimeout(tooLong)
          progress.delete(refresh)
          resolve()
        }
        const unread = setTimeout(end, UNREAD_MS)
        const tooLong = setTimeout(end, FLUSH_MS)
        const refresh = () => void unread.refresh()
        progress.add(refresh)
        void destination.flush().then(end)
      }),
  }
}

function asJson(destination: LineWriter) {
  return isJournal(1, process.env) ? withPriorities(destination) : destination
}
