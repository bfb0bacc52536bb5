import { REQUEST_ID_HEADER } from './request-id-header.ts'

const REASONS = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Request Header Fields Too Large' } as const

/** What a request is answered with that Node could not read as HTTP. */
export interface RawAnswer {
  readonly status: keyof typeof REASONS
  readonly error: string
  readonly message: string
}

/** The text of an answer that closes its connection, for a socket that no `ServerResponse` belongs to. */
export function rawAnswer({ status, error, message }: RawAnswer, requestId: string): string {
  const body = JSON.stringify({ error, message })
  return [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    `${REQUEST_ID_HEADER}: ${requestId}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n')
}

/** The code of Node's error for headers that are larger than a server takes. */
export const HEADERS_TOO_LARGE = 'HPE_HEADER_OVERFLOW'
