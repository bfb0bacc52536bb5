/** Text of bytes that may have been cut off at their end: half a character there is left out, not shown as garbage. */
export function textOfHead(bytes: Uint8Array, cut: boolean): string {
  return withoutNul(new TextDecoder().decode(bytes, { stream: cut }))
}

/** Text of bytes that may have been cut off at their start: what is left of a character there is left out. */
export function textOfTail(bytes: Uint8Array, cut: boolean): string {
  let start = 0
  // A character has three continuation bytes at most; more of them in a row is no UTF-8 and shown as it is.
  if (cut) while (start < 3 && start < bytes.length && (bytes[start]! & 0xc0) === 0x80) start++
  return withoutNul(new TextDecoder().decode(bytes.subarray(start)))
}

/** sqlite3 would show an operator nothing of what comes after a NUL. */
function withoutNul(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}
