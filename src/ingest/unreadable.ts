import type { Socket } from 'node:net'
import type { RefusalCode } from '../domain/errors.ts'
import { HEADERS_TOO_LARGE, type RawAnswer, rawAnswer } from '../domain/raw-answer.ts'
import { type Peer, peerAt } from './peer.ts'

/** A request that cannot be read as HTTP, or does not come in time. Nothing that knows of sources ever sees it. */
export interface Unreadable {
  readonly requestId: string
  readonly status: 400 | 408 | 431
  readonly reason: RefusalCode
  /** Node's code for what is wrong, such as `HPE_INVALID_METHOD`. */
  readonly problem: string
  readonly peer: string | null
  /** Whether anything was asked at all. A port scan, a health check of TCP and a handshake that fails ask nothing. */
  readonly asked: boolean
}

/** Headers of a request. Ultravox sends about ten, and proxies add some; each takes memory of its own. */
export const MOST_HEADERS = 1_000
const TOO_LATE = 'ERR_HTTP_REQUEST_TIMEOUT'

const ANSWERS: Readonly<Record<Unreadable['status'], RawAnswer & { readonly error: RefusalCode }>> = {
  400: { status: 400, error: 'request_invalid', message: 'this is not HTTP' },
  408: { status: 408, error: 'request_invalid', message: 'the request did not come in time' },
  431: {
    status: 431,
    error: 'headers_too_large',
    message: `the request line and the headers are too large, or there are more than ${MOST_HEADERS}`,
  },
}

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
  if (!gone && socket.writable && !isHandshake(problem)) socket.write(rawAnswer(ANSWERS[status], requestId))
  socket.destroy()
  return { requestId, status, reason: ANSWERS[status].error, problem, peer, asked }
}

function isHandshake(problem: string): boolean {
  return problem.startsWith('ERR_SSL_') || problem.startsWith('ERR_TLS_')
}
