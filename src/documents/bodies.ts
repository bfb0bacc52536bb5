import { asUtf8 } from '../domain/json-bytes.ts'

/** A body as text for scripts and people; bytes that are not text in UTF-8, UTF-16 or UTF-32 are replaced. */
export function textOf(body: Uint8Array | null): string | null {
  return body === null ? null : Buffer.from(asUtf8(body)).toString('utf8')
}
