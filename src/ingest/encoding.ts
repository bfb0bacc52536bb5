import type { RefusalCode } from '../domain/errors.ts'
import type { Refusal } from './refusal.ts'
import type { IncomingRequest } from './source.ts'

/** Rejections that a compressed body is a likely cause of. One that is only too old is genuine as it is. */
const CAUSED: ReadonlySet<RefusalCode> = new Set([
  'signature_missing',
  'signature_malformed',
  'signature_mismatch',
  'timestamp_missing',
  'timestamp_malformed',
  'timestamp_duplicated',
  'payload_invalid',
])

/** Codings that a message names. */
const MOST_CODINGS = 4

/**
 * Returns the rejection with `encoding_unsupported` as its reason where the headers say that the body is compressed. Events are
 * signed uncompressed, so the body is not what was signed. It is not decompressed, because nothing says that this gives the
 * bytes that the sender signed, nor how many.
 *
 * Only for what is rejected anyway: a genuine event is accepted in spite of a wrong header.
 */
export function explainedByEncoding(request: Pick<IncomingRequest, 'header'>, rejected: Refusal): Refusal {
  if (!CAUSED.has(rejected.code)) return rejected
  const content = codingsIn(request.header('content-encoding'), 'identity')
  const transfer = codingsIn(request.header('transfer-encoding'), 'chunked')
  const [header, codings] = content.length > 0 ? ['Content-Encoding', content] : ['Transfer-Encoding', transfer]
  if (codings.length === 0) return rejected
  const message = `the body is compressed (${header}: ${codings.join(', ')}), and events are signed uncompressed: switch off the compression of requests at the sender or at the proxy in front of the relay`
  return { ...rejected, code: 'encoding_unsupported', message, detail: `${rejected.code}: ${rejected.message}` }
}

/** The codings of a header, except for the one that changes nothing. Of what is not a name it keeps nothing. */
function codingsIn(header: string | undefined, plain: string): string[] {
  return (header ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== plain)
    .slice(0, MOST_CODINGS)
    .map((coding) => (/^[a-z][a-z0-9-]{1,15}$/.test(coding) ? coding : 'unknown'))
}
