import { type Style, styled } from './style.ts'

type Value = string | number | null

/** A cell; numbers stand on the right, null is empty. */
export type Cell = Value | StyledCell

export interface StyledCell {
  readonly value: Value
  readonly style: Style
}

const GAP = '  '
/** Columns before the last are not shortened below this: enough to know an id again. */
const LEAST_WIDTH = 12
/** The last column is what varies most (an error): others make room for so much of it, if it is as long. */
const LAST_WIDTH = 32
/** With less than this beside the others, it goes beneath them. */
const LEAST_LAST_WIDTH = 16

export function cell(value: Value, style: Style | null): Cell {
  return style === null ? value : { value, style }
}

/**
 * Rows with aligned columns under a heading. On a terminal of `width` columns the widest ones are shortened, and where
 * even that is not enough, the last one goes to lines of its own.
 * What comes from elsewhere (a target's error, a call id) cannot break the lines or talk to the terminal.
 */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[], width = Infinity): string {
  const right = heading.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof contentOf(row[column]!) !== 'string'),
  )
  const lines = [heading, ...rows].map((row) => row.map(textOf))
  const natural = heading.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const last = heading.length - 1
  const widths = shortened(natural, width)
  const beside = width - widths.slice(0, last).reduce((sum, each) => sum + each + GAP.length, 0)
  const beneath = last > 0 && beside < Math.min(natural[last]!, LEAST_LAST_WIDTH)
  const padded = lines.map((line) =>
    line.map((text, column) =>
      pad(column === last ? text : cut(text, widths[column]!), widths[column]!, right[column]!),
    ),
  )
  return padded
    .flatMap((texts, index) => {
      const styles = index === 0 ? [] : rows[index - 1]!.map(styleOf)
      if (!beneath) return [styledLine(texts, styles, width)]
      const own = texts[last]!.trim()
      const line = styledLine(texts.slice(0, last), styles, width)
      return own === '' || index === 0 ? [line] : [line, styledLine(['', own], [null, styles[last] ?? null], width)]
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** Text from elsewhere with its line breaks and control characters made spaces. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}

/** The widths of columns that leave room for the last one, the widest shortened first. */
function shortened(natural: readonly number[], width: number): number[] {
  const widths = natural.slice(0, -1)
  const rest = Math.min(natural.at(-1)!, LAST_WIDTH)
  let excess = widths.reduce((sum, each) => sum + each + GAP.length, rest) - width
  for (; excess > 0; excess--) {
    const widest = widths.indexOf(Math.max(...widths))
    if (!(widths[widest]! > LEAST_WIDTH)) break
    widths[widest]! -= 1
  }
  return [...widths, natural.at(-1)!]
}

/** Cells side by side, cut to the terminal and only then styled: a style takes no room. */
function styledLine(texts: readonly string[], styles: readonly (Style | null)[], width: number): string {
  const line = cut(texts.join(GAP).trimEnd(), width)
  let from = 0
  return texts
    .map((text, column) => {
      const piece = line.slice(from, from + text.length)
      const gap = line.slice(from + text.length, from + text.length + GAP.length)
      from += text.length + GAP.length
      const style = styles[column] ?? null
      return (style === null || piece === '' ? piece : styled(style, piece)) + gap
    })
    .join('')
}

function pad(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width)
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

function textOf(cell: Cell): string {
  return oneLine(String(contentOf(cell) ?? ''))
}

function contentOf(cell: Cell): Value {
  return isStyled(cell) ? cell.value : cell
}

function styleOf(cell: Cell): Style | null {
  return isStyled(cell) ? cell.style : null
}

function isStyled(cell: Cell): cell is StyledCell {
  return typeof cell === 'object' && cell !== null
}
