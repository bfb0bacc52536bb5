import { timingSafeEqual } from 'node:crypto'
import type { RefusalCode } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import { parseTimestamp } from '../domain/timestamp.ts'
import { SIGNATURE_HEADER, TIMESTAMP_HEADER, ultravoxDigest, ultravoxKey } from '../domain/ultravox-signature.ts'
import type { RefusedVerdict, Scheme, SignedHeaders } from './scheme.ts'

/** Lower-case hex SHA-256, as the provider writes it. */
const DIGEST = /^[0-9a-f]{64}$/
/**
 * Verifies Ultravox's signatures. Any of the header's signatures by any of `secrets` is enough (there are several during a
 * rotation). A request further than `toleranceMs` from now, either way, is refused, but known to be signed.
 */
export function createUltravoxScheme(secrets: readonly Secret[], toleranceMs: number): Scheme {
  const keys = secrets.map((secret) => ({ key: ultravoxKey(secret), fingerprint: secretFingerprint(secret) }))

  return {
    verifies: true,
    evidence: [TIMESTAMP_HEADER, SIGNATURE_HEADER],

    open(headers) {
      const read = readHeaders(headers)
      if ('genuine' in read) return read
      const { timestamp, sentAt, candidates } = read
      return (body, now) => {
        const signers = keys.filter(({ key }) => isSigned(ultravoxDigest(key, body, timestamp), candidates))
        if (signers.length === 0) {
          return refused('signature_mismatch', 'no signature matches: the secret differs, or the body was altered')
        }
        if (Math.abs(now - sentAt) > toleranceMs) {
          const seconds = Math.round((now - sentAt) / 1000)
          const age = seconds >= 0 ? `${seconds} s old` : `${-seconds} s in the future`
          return { ...refused('timestamp_stale', `validly signed, but ${age}`), signed: true }
        }
        return { genuine: true, signedWith: signers.map(({ fingerprint }) => fingerprint) }
      }
    },
  }
}

/** The two headers, as far as they are what they should be. */
function readHeaders(
  request: SignedHeaders,
): RefusedVerdict | { timestamp: string; sentAt: number; candidates: Buffer[] } {
  const timestamp = request.header(TIMESTAMP_HEADER)
  const signature = request.header(SIGNATURE_HEADER)
  if (signature === undefined) return refused('signature_missing', `no ${SIGNATURE_HEADER} header`)
  if (timestamp === undefined) return refused('timestamp_missing', `no ${TIMESTAMP_HEADER} header`)
  if (timestamp.includes(',') && request.headerCount(TIMESTAMP_HEADER) > 1) {
    return refused('timestamp_duplicated', `more than one ${TIMESTAMP_HEADER} header`)
  }
  const sentAt = parseTimestamp(timestamp)
  if (sentAt === null) return refused('timestamp_malformed', `${TIMESTAMP_HEADER} is no ISO 8601 time`)
  const candidates = digestsIn(signature)
  if (candidates.length > 0) return { timestamp, sentAt, candidates }
  return refused('signature_malformed', `${SIGNATURE_HEADER} holds no lower-case hex SHA-256 digest`)
}

function isSigned(digest: Buffer, candidates: readonly Buffer[]): boolean {
  return candidates.some((candidate) => timingSafeEqual(candidate, digest))
}

/**
 * The well-formed digests of a header; the others are passed over, for a sender may add schemes we do not know. Their
 * number is bounded by what Node takes in headers, 16 KB.
 */
function digestsIn(header: string): Buffer[] {
  return header
    .split(',')
    .map((part) => part.trim())
    .filter((part) => DIGEST.test(part))
    .map((part) => Buffer.from(part, 'hex'))
}

function refused(code: RefusalCode, message: string): RefusedVerdict {
  return { genuine: false, code, message, signed: false }
}
