import { styleText } from 'node:util'
import { Option } from 'commander'

export type Style = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold'

type Mode = 'auto' | 'on' | 'off'

let mode: Mode = 'auto'

/** `--color`, the same at every command; `main.ts` adds it to all and applies it with `setColor`. */
export function colorOption(): Option {
  return new Option('--color <when>', 'colour the output').choices(['auto', 'on', 'off']).default('auto')
}

export function setColor(asked: Mode): void {
  mode = asked
}

/** Text in a style, where the stream it is for shows one: a terminal or FORCE_COLOR, without NO_COLOR, or `--color on`. */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return isColoured(stream) ? styleText(style, text, { validateStream: false }) : text
}

/** Whether a stream shows styles. */
export function isColoured(stream: NodeJS.WriteStream): boolean {
  if (mode !== 'auto') return mode === 'on'
  const { FORCE_COLOR, NO_COLOR, TERM } = process.env
  if (NO_COLOR) return false
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  return stream.isTTY === true && TERM !== 'dumb'
}

/** What `styled` puts before and after a text. */
const ESCAPE = '\u001b'
const MARK = new RegExp(`(${ESCAPE}\\[(?:1|2|22|31|32|33|36|39)m)`)

/** A text with styles in it, whose pieces between these have gone through `shape`. */
export function betweenStyles(text: string, shape: (piece: string) => string): string {
  return text
    .split(MARK)
    .map((piece, index) => (index % 2 === 1 ? piece : shape(piece)))
    .join('')
}
