import type { Socket } from 'node:net'
import { REQUEST_ID_HEADER } from '../domain/request-id-header.ts'
import { type Peer, peerAt } from './peer.ts'

/** A request that cannot be read as HTTP, or does not come in time. Nothing that knows of sources ever sees it. */
export interface Unreadable {
  readonly requestId: string
  readonly status: 400 | 408 | 431
  /** Node's code for what is wrong, such as `HPE_INVALID_METHOD`. */
  readonly problem: string
  readonly peer: string | null
  /** Whether anything was asked at all. A port scan, a health check of TCP and a handshake that fails ask nothing. */
  readonly asked: boolean
}

const TOO_LATE = 'ERR_HTTP_REQUEST_TIMEOUT'
const HEADERS_TOO_LARGE = 'HPE_HEADER_OVERFLOW'

const MESSAGES = {
  400: 'this is not HTTP',
  408: 'the request did not come in time',
  431: 'the headers are too large',
} as const

/**
 * Answers such a request as far as its connection still takes an answer, closes that, and says what it was. `connected`: the peer of
 * the connection, where it was accepted and its handshake is over.
 */
export function answerUnreadable(
  error: NodeJS.ErrnoException,
  socket: Socket,
  connected: Peer | undefined,
  requestId: string,
): Unreadable {
  const problem = error.code ?? 'unknown'
  const status = problem === TOO_LATE ? 408 : problem === HEADERS_TOO_LARGE ? 431 : 400
  // Without a session there is nobody to answer, and what has broken off asks for nothing any more.
  const gone = problem === 'ECONNRESET' || problem === 'EPIPE' || socket.destroyed
  const asked = !gone && !isHandshake(problem) && socket.bytesRead > 0
  const peer = (connected ?? peerAt(socket.remoteAddress ?? ''))?.address ?? null
  if (!gone && socket.writable && !isHandshake(problem)) socket.write(answerOf(status, requestId))
  socket.destroy()
  return { requestId, status, problem, peer, asked }
}

function isHandshake(problem: string): boolean {
  return problem.startsWith('ERR_SSL_') || problem.startsWith('ERR_TLS_')
}

function answerOf(status: keyof typeof MESSAGES, requestId: string): string {
  const body = JSON.stringify({ error: 'request_invalid', message: MESSAGES[status] })
  const reasons = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Request Header Fields Too Large' } as const
  return [
    `HTTP/1.1 ${status} ${reasons[status]}`,
    `${REQUEST_ID_HEADER}: ${requestId}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${body.length}`,
    'connection: close',
    '',
    body,
  ].join('\r\n')
}
