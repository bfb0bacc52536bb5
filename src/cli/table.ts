import { oneLine } from '../domain/one-line.ts'
import { type Style, styled } from './style.ts'
import { cellsOf, cutToCells, padToCells } from './terminal-cells.ts'

export { oneLine }

type Value = string | number | null

/** A cell; numbers stand on the right, null is empty. */
export type Cell = Value | StyledCell

export interface StyledCell {
  readonly value: Value
  readonly style: Style | null
  /** Stands for the value where the terminal is too narrow. */
  readonly short?: string
}

/** A heading; a plain text where nothing else is said. */
type Fit = 'whole' | 'spare'

export type Column = string | { readonly name: string; readonly fit: Fit }

/** A column that is never cut, such as ids and times: without room beside the others it goes beneath them, under its name. */
export function whole(name: string): Column {
  return { name, fit: 'whole' }
}

/** A column that a narrow terminal does not show. */
export function spare(name: string): Column {
  return { name, fit: 'spare' }
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
 * Rows with aligned columns under a heading. On a terminal of `width` columns, cells are replaced by their short forms, spare
 * columns are left out, and whole ones but the first go to lines of their own; then the widest of the others are shortened, and
 * where even that is not enough, the last one goes to a line of its own and gaps become narrower.
 * What comes from elsewhere (a target's error, a call id) cannot break the lines or talk to the terminal.
 */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], width = Infinity): string {
  const heading = columns.map((column) => (typeof column === 'string' ? column : column.name))
  const full = [heading, ...rows].map((row) => row.map(textOf))
  const isNarrow = excessOf(widthsOf(full), GAP, width) > 0
  const lines = isNarrow ? [heading, ...rows].map((row) => row.map(shortTextOf)) : full
  const fits = columns.map((column) => (typeof column === 'string' ? null : column.fit))
  const { beside, beneath } = arranged(widthsOf(lines), fits, width)
  const pick = <T>(row: readonly T[]) => beside.map((column) => row[column]!)
  return aligned(pick(heading), rows.map(pick), lines.map(pick), pick(fits), width, (row) =>
    beneath.flatMap((column) => {
      const text = lines[row + 1]![column]!
      return text === '' ? [] : [`${heading[column]!} ${text}`]
    }),
  )
}

/** Which columns stand side by side and which go beneath, by their index. Spare ones that are in neither are left out. */
function arranged(natural: readonly number[], fits: readonly (Fit | null)[], width: number) {
  let beside = natural.map((_, column) => column)
  const beneath: number[] = []
  const isTooWide = () => {
    const last = beside.at(-1)!
    const least = beside.map((column) =>
      fits[column] === 'whole' ? natural[column]! : Math.min(natural[column]!, column === last ? 0 : LEAST_WIDTH),
    )
    return least.reduce((sum, each) => sum + each + 1, -1) > width
  }
  const remove = (fit: Fit) => {
    const column = beside.findLast((each) => each !== 0 && fits[each] === fit)
    beside = beside.filter((each) => each !== column)
    return column
  }
  while (isTooWide()) {
    if (remove('spare') !== undefined) continue
    const column = remove('whole')
    if (column === undefined) break
    beneath.unshift(column)
  }
  return { beside, beneath }
}

/** Columns side by side. `beneath` returns the lines that follow a row. */
function aligned(
  heading: readonly string[],
  rows: readonly (readonly Cell[])[],
  lines: readonly (readonly string[])[],
  fits: readonly (Fit | null)[],
  width: number,
  beneath: (row: number) => readonly string[],
): string {
  const right = heading.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof contentOf(row[column]!) !== 'string'),
  )
  const last = heading.length - 1
  const natural = widthsOf(lines)
  const { widths, gap } = fitted(
    natural,
    fits,
    width,
    largest(lines.slice(1), (line) => cellsOf(line[last]!)),
  )
  const room = width - widths.slice(0, last).reduce((sum, each) => sum + each + gap.length, 0)
  const isLastBeneath =
    last > 0 && room < Math.min(natural[last]!, fits[last] === 'whole' ? natural[last]! : LEAST_LAST_WIDTH)
  // A terminal that is narrower than an id wraps it.
  const uncut = widths.slice(0, fits.lastIndexOf('whole') + 1).reduce((sum, each) => sum + each + gap.length, 1)
  const lineWidth = Math.max(width, fits.includes('whole') ? uncut : 0)
  const padded = lines.map((line) =>
    line.map((text, column) =>
      padToCells(
        column === last ? text : cutToCells(text, widths[column]!),
        widths[column]!,
        right[column]! ? 'start' : 'end',
      ),
    ),
  )
  return padded
    .flatMap((texts, index) => {
      const styles = index === 0 ? [] : rows[index - 1]!.map(styleOf)
      const more = index === 0 ? [] : joined(beneath(index - 1), width).map((text) => `  ${text}`)
      if (!isLastBeneath) return [styledLine(texts, styles, lineWidth, gap), ...more]
      const own = texts[last]!.trim()
      const line = styledLine(texts.slice(0, last), styles, lineWidth, gap)
      return own === '' || index === 0
        ? [line, ...more]
        : [line, ...more, styledLine(['', own], [null, styles[last] ?? null], width, GAP)]
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** Texts in as few lines as they fit in, none of them cut. */
function joined(texts: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const text of texts) {
    const together = lines.length === 0 ? text : `${lines.at(-1)}${GAP}${text}`
    if (lines.length > 0 && cellsOf(together) + GAP.length <= width) lines[lines.length - 1] = together
    else lines.push(text)
  }
  return lines
}

/** Unlike `Math.max` of a list, of any number. */
function largest<T>(all: readonly T[], measure: (each: T) => number): number {
  return all.reduce((most, each) => Math.max(most, measure(each)), 0)
}

function widthsOf(lines: readonly (readonly string[])[]): number[] {
  return lines[0]!.map((_, column) => largest(lines, (line) => cellsOf(line[column]!)))
}

/**
 * Widths of the columns, and the gap between them. `lastContent`: the longest text of the last column under its heading. A short
 * one stays beside the others where that is possible.
 */
function fitted(
  natural: readonly number[],
  fits: readonly (Fit | null)[],
  width: number,
  lastContent: number,
): { widths: number[]; gap: string } {
  const widths = shortened(natural, fits, GAP, width, LEAST_WIDTH)
  const others = widths.slice(0, -1)
  for (const last of lastContent < LEAST_LAST_WIDTH ? [lastContent, 0] : [0]) {
    for (const gap of [GAP, ' ']) if (excessOf([...others, last], gap, width) <= 0) return { widths, gap }
  }
  return { widths: shortened([...others, 0], fits, ' ', width, LAST_RESORT_WIDTH), gap: ' ' }
}

/** The widths of columns that leave room for the last one, the widest shortened first, to no less than `least`. */
function shortened(
  natural: readonly number[],
  fits: readonly (Fit | null)[],
  gap: string,
  width: number,
  least: number,
): number[] {
  const widths = natural.slice(0, -1)
  const cuttable = () => widths.map((each, column) => (fits[column] === 'whole' ? 0 : each))
  for (let excess = excessOf(natural, gap, width); excess > 0; excess--) {
    const widest = cuttable().indexOf(Math.max(...cuttable()))
    if (!(cuttable()[widest]! > least)) break
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
  const line = cutToCells(texts.join(gap).trimEnd(), width)
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
