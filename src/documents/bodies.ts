/** A body as text for scripts; what is no UTF-8 in it is replaced. */
export function textOf(body: Uint8Array | null): string | null {
  return body === null ? null : Buffer.from(body).toString('utf8')
}
