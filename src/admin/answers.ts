import type { FastifyError } from 'fastify'
import { type ErrorCode, HTTP_STATUS, RelayError } from '../domain/errors.ts'

/** What a request that cannot be met is answered with. */
export interface ErrorAnswer {
  readonly status: number
  readonly body: { readonly error: string; readonly message: string }
}

const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  usage: 400,
  unknown_name: 404,
  not_found: 404,
  encoding_unsupported: 415,
  config_invalid: 422,
  outbox_unavailable: 503,
  outbox_unusable: 503,
  overloaded: 503,
  daemon_unreachable: 503,
}

/** The answer to an error; null where it is a fault of ours, of which nothing is told. */
export function errorAnswer(error: unknown): ErrorAnswer | null {
  if (error instanceof RelayError) {
    // The reason of a rejection says why it cannot be admitted.
    const status = STATUS[error.code] ?? (error.code in HTTP_STATUS ? 409 : null)
    return status === null ? null : { status, body: { error: error.code, message: error.message } }
  }
  const { statusCode = 500, message } = error as FastifyError
  if (statusCode >= 500) return null
  const told = statusCode === 415 ? 'send JSON, with the header content-type: application/json' : message
  return { status: statusCode, body: { error: 'invalid_request', message: told } }
}
