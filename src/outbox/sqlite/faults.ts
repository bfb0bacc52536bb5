import { type ErrorCode, errorMessage, RelayError } from '../../domain/errors.ts'

/** An error as it crosses the thread boundary. */
export interface Fault {
  readonly code: ErrorCode
  readonly message: string
  /** See `RelayError`. */
  readonly isPermanent?: boolean
}

/**
 * Nothing was changed, and it may work later: no space, somebody else has the database, memory is short, the file
 * system went read-only.
 */
const PASSING = /^SQLITE_(FULL|BUSY|LOCKED|NOMEM|READONLY)/

/**
 * What one statement can bring about, without the storage being at fault: others in the same batch may go on.
 * Errors without an SQLite code are our own.
 */
const OF_ONE_CALL = /^(?!SQLITE_)|^SQLITE_(CONSTRAINT|TOOBIG|MISMATCH|RANGE|ERROR)/

/** What an error says about the storage. */
export function classify(error: unknown): 'passing' | 'of-one-call' | 'fatal' {
  if (error instanceof RelayError) return isFatal(error) ? 'fatal' : 'of-one-call'
  const code = codeOf(error)
  if (PASSING.test(code)) return 'passing'
  return OF_ONE_CALL.test(code) ? 'of-one-call' : 'fatal'
}

function isFatal({ code }: RelayError): boolean {
  return code === 'outbox_failed' || code === 'outbox_locked'
}

/** What to do about an outbox that is damaged. */
export const DAMAGED =
  'stop the relay, keep a copy of all files of the outbox, see doctor --deep, and restore a backup with `ultravox-relay restore FILE`'

export const DISK_FAILS = 'the disk or its file system fails: the log of the kernel says why (journalctl -k)'

/** What to do about it. */
const ADVICE: Readonly<Record<string, string>> = {
  SQLITE_CORRUPT: DAMAGED,
  SQLITE_NOTADB: DAMAGED,
  SQLITE_IOERR_SHM: 'its file system cannot share memory between processes: move the outbox to a local file system',
  SQLITE_IOERR: DISK_FAILS,
  SQLITE_FULL: 'make room on the disk of the outbox',
}

export function toFault(error: unknown): Fault {
  if (error instanceof RelayError) {
    const { code, message, isPermanent } = error
    return { code, message, isPermanent }
  }
  const kind = classify(error)
  const message = `outbox: ${codeOf(error)} ${errorMessage(error)}`.trimEnd()
  const advice = Object.entries(ADVICE).find(([prefix]) => codeOf(error).startsWith(prefix))?.[1]
  return {
    code: kind === 'fatal' ? 'outbox_failed' : 'outbox_unavailable',
    message: advice === undefined ? message : `${message}; ${advice}`,
    isPermanent: kind === 'of-one-call',
  }
}

/** The error for an outbox that must not be opened, written or replaced as it is. */
export function unusable(message: string): RelayError {
  return new RelayError('outbox_unusable', message)
}

export function fromFault({ code, message, isPermanent = false }: Fault): RelayError {
  return new RelayError(code, message, { isPermanent })
}

function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? ''
}
