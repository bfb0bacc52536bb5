import { type Style, styled } from './style.ts'

type Value = string | number | null

/** A cell; numbers stand on the right, null is empty. */
export type Cell = Value | StyledCell

export interface StyledCell {
  readonly value: Value
  readonly style: Style | null
  /** Stands for the value where the terminal is too narrow. */
  readonly short?: string
}

const GAP = '  '
/** Columns before the last are shortened to this: enough to know an id again. */
const LEAST_WIDTH = 12
/** And to this where even a gap of one space leaves no room for all columns. */
const LAST_RESORT_WIDTH = 7
/** The last column is what varies most (an error): others make room for so much of it, if it is as long. */
const LAST_WIDTH = 32
/** With less than this beside the others, it goes beneath them. */
const LEAST_LAST_WIDTH = 16

export function cell(value: Value, style: Style | null, short?: string): Cell {
  if (short !== undefined) return { value, style, short }
  return style === null ? value : { value, style }
}

/**
 * Rows with aligned columns under a heading. On a terminal of `width` columns, cells are replaced by their short forms, the widest
 * ones are shortened, and where even that is not enough, the last one goes to lines of its own and gaps become narrower.
 * What comes from elsewhere (a target's error, a call id) cannot break the lines or talk to the terminal.
 */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[], width = Infinity): string {
  const right = heading.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof contentOf(row[column]!) !== 'string'),
  )
  const last = heading.length - 1
  const widthsOf = (texts: readonly (readonly string[])[]) =>
    heading.map((_, column) => Math.max(...texts.map((line) => line[column]!.length)))
  const full = [heading, ...rows].map((row) => row.map(textOf))
  const isNarrow = excessOf(widthsOf(full), GAP, width) > 0
  const lines = isNarrow ? [heading, ...rows].map((row) => row.map(shortTextOf)) : full
  const natural = widthsOf(lines)
  const { widths, gap } = fitted(natural, width, Math.max(0, ...lines.slice(1).map((line) => line[last]!.length)))
  const beside = width - widths.slice(0, last).reduce((sum, each) => sum + each + gap.length, 0)
  const beneath = last > 0 && beside < Math.min(natural[last]!, LEAST_LAST_WIDTH)
  const padded = lines.map((line) =>
    line.map((text, column) =>
      pad(column === last ? text : cut(text, widths[column]!), widths[column]!, right[column]!),
    ),
  )
  return padded
    .flatMap((texts, index) => {
      const styles = index === 0 ? [] : rows[index - 1]!.map(styleOf)
      if (!beneath) return [styledLine(texts, styles, width, gap)]
      const own = texts[last]!.trim()
      const line = styledLine(texts.slice(0, last), styles, width, gap)
      return own === '' || index === 0
        ? [line]
        : [line, styledLine(['', own], [null, styles[last] ?? null], width, GAP)]
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** Text from elsewhere with its line breaks and control characters made spaces. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}

/**
 * Widths of the columns, and the gap between them. `lastContent`: the longest text of the last column under its heading. A short
 * one stays beside the others where that is possible.
 */
function fitted(natural: readonly number[], width: number, lastContent: number): { widths: number[]; gap: string } {
  const widths = shortened(natural, GAP, width, LEAST_WIDTH)
  const others = widths.slice(0, -1)
  for (const last of lastContent < LEAST_LAST_WIDTH ? [lastContent, 0] : [0]) {
    for (const gap of [GAP, ' ']) if (excessOf([...others, last], gap, width) <= 0) return { widths, gap }
  }
  return { widths: shortened([...others, 0], ' ', width, LAST_RESORT_WIDTH), gap: ' ' }
}

/** The widths of columns that leave room for the last one, the widest shortened first, to no less than `least`. */
function shortened(natural: readonly number[], gap: string, width: number, least: number): number[] {
  const widths = natural.slice(0, -1)
  for (let excess = excessOf(natural, gap, width); excess > 0; excess--) {
    const widest = widths.indexOf(Math.max(...widths))
    if (!(widths[widest]! > least)) break
    widths[widest]! -= 1
  }
  return [...widths, natural.at(-1)!]
}

/** By how much columns are too wide together. */
function excessOf(widths: readonly number[], gap: string, width: number): number {
  const rest = Math.min(widths.at(-1)!, LAST_WIDTH)
  return widths.slice(0, -1).reduce((sum, each) => sum + each + gap.length, rest) - width
}

/** Cells side by side, cut to the terminal and only then styled: a style takes no room. */
function styledLine(texts: readonly string[], styles: readonly (Style | null)[], width: number, gap: string): string {
  const line = cut(texts.join(gap).trimEnd(), width)
  let from = 0
  return texts
    .map((text, column) => {
      const piece = line.slice(from, from + text.length)
      const space = line.slice(from + text.length, from + text.length + gap.length)
      from += text.length + gap.length
      const style = styles[column] ?? null
      return (style === null || piece === '' ? piece : styled(style, piece)) + space
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

function shortTextOf(cell: Cell): string {
  return isStyled(cell) && cell.short !== undefined ? cell.short : textOf(cell)
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
