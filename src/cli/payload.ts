import { Option } from 'commander'
import { indentedJson } from './json-text.ts'
import { oneLine } from './table.ts'

/** `--payload`, at commands that show something with a body. */
export function payloadOption(): Option {
  return new Option('--payload', 'print only the payload, exactly the bytes received').conflicts('json')
}

/** A body as text for scripts; what is no UTF-8 in it is replaced, `--payload` has the bytes. */
export function textOf(body: Uint8Array | null): string | null {
  return body === null ? null : Buffer.from(body).toString('utf8')
}

/** A body for people: indented where it is JSON; nothing in it can talk to the terminal. */
export function shownPayload(body: Uint8Array): string {
  const text = textOf(body)!
  return (indentedJson(text) ?? text)
    .split('\n')
    .map((line) => `${oneLine(line)}\n`)
    .join('')
}
