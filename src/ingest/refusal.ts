import type { RefusalCode } from '../domain/errors.ts'
import { VIA_HEADER } from '../domain/via.ts'
import type { Rejection } from '../outbox/outbox.ts'
import type { IncomingRequest, Source } from './source.ts'

/** A request that is not taken. */
export interface Refusal {
  readonly kind: 'refused'
  readonly code: RefusalCode
  /** For the sender. */
  readonly message: string
  /** Whether the sender proved who it is all the same. */
  readonly signed: boolean
  /** False: the body is not kept although the sender proved its identity: the relay has sent it itself. */
  readonly keeps?: boolean
  /** For the log only. */
  readonly detail?: string
}

export function refusal(code: RefusalCode, message: string, detail?: string): Refusal {
  return { kind: 'refused', code, message, signed: false, ...(detail === undefined ? {} : { detail }) }
}

/** Longest piece of a header that is kept, in characters. */
const HEADER_LIMIT = 500

/** Headers worth keeping beside those of the source's scheme. */
const FURTHER_EVIDENCE: Readonly<Partial<Record<RefusalCode, readonly string[]>>> = {
  encoding_unsupported: ['content-encoding', 'transfer-encoding'],
  loop_detected: [VIA_HEADER],
}

/** A request as far as it has been read. */
export interface RefusedRequest extends Omit<IncomingRequest, 'body' | 'judge'> {
  readonly body: Uint8Array | null
}

/** What is put on record of a refused request. `bytes`: the size of its body, where it is known. */
export function rejectionOf(
  source: Source,
  request: RefusedRequest,
  { code, signed, keeps = true }: Refusal,
  receivedAt: number,
  bytes: number | null,
): Rejection {
  const kept = (name: string) => {
    const value = request.header(name)
    return value === undefined ? undefined : source.conceal(value).slice(0, HEADER_LIMIT)
  }
  const names = [...source.scheme.evidence, ...(FURTHER_EVIDENCE[code] ?? [])]
  const headers = names.map((name) => [name, kept(name)] as const)
  return {
    source: source.name,
    receivedAt,
    reason: code,
    requestId: request.requestId,
    peer: request.peer,
    bytes,
    headers: JSON.stringify(Object.fromEntries(headers)),
    kept: signed && keeps && request.body !== null ? { body: request.body, contentType: request.contentType } : null,
  }
}
