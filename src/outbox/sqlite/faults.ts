import { type ErrorCode, errorMessage, RelayError } from '../../domain/errors.ts'

/** An error as it crosses the thread boundary. */
export interface Fault {
  readonly code: ErrorCode
  readonly message: string
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
  if (error instanceof RelayError) return error.code === 'outbox_failed' ? 'fatal' : 'of-one-call'
  const code = codeOf(error)
  if (PASSING.test(code)) return 'passing'
  return OF_ONE_CALL.test(code) ? 'of-one-call' : 'fatal'
}

export function toFault(error: unknown): Fault {
  if (error instanceof RelayError) return { code: error.code, message: error.message }
  const fatal = classify(error) === 'fatal'
  return {
    code: fatal ? 'outbox_failed' : 'outbox_unavailable',
    message: `outbox: ${codeOf(error)} ${errorMessage(error)}`.trimEnd(),
  }
}

export function fromFault({ code, message }: Fault): RelayError {
  return new RelayError(code, message)
}

function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? ''
}
