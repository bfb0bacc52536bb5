import { Option } from 'commander'
import { textOf } from '../documents/bodies.ts'
import { indentedJson } from './json-text.ts'
import { oneLine } from './table.ts'

/** `--payload`, at commands that show something with a body. */
export function payloadOption(): Option {
  return new Option('--payload', 'print only the payload, exactly the bytes received').conflicts('json')
}

/** A body for people: indented where it is JSON; nothing in it can talk to the terminal. */
export function shownPayload(body: Uint8Array): string {
  const text = textOf(body)!
  return (indentedJson(text) ?? text)
    .split('\n')
    .map((line) => `${oneLine(line)}\n`)
    .join('')
}
