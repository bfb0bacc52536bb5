import stringWidth from 'string-width'

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })
/** One cell each. Nearly all texts are such, and counting others takes a thousand times as long. */
const PLAIN = /^[\x20-\x7e]*$/

/** The number of terminal cells that a text without control characters takes: two for CJK and emoji, none for combining marks. */
export function cellsOf(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text)
}

/** Cuts a text to at most `cells` cells, `…` included. Never cuts within a grapheme. */
export function cutToCells(text: string, cells: number): string {
  if (cellsOf(text) <= cells) return text
  let room = cells - 1
  let kept = ''
  for (const { segment } of graphemes.segment(text)) {
    room -= cellsOf(segment)
    if (room < 0) break
    kept += segment
  }
  return `${kept}…`
}

/** Pads a text with spaces to `cells` cells. */
export function padToCells(text: string, cells: number, side: 'start' | 'end' = 'end'): string {
  const spaces = ' '.repeat(Math.max(0, cells - cellsOf(text)))
  return side === 'start' ? spaces + text : text + spaces
}
