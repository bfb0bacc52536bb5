/** A cell; numbers stand on the right, null is empty. */
export type Cell = string | number | null

/**
 * Rows with aligned columns under a heading. On a terminal of `width` columns, lines are cut to it.
 * What comes from elsewhere (a target's error, a call id) cannot break the lines or talk to the terminal.
 */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[], width?: number): string {
  const right = heading.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] !== 'string'))
  const cells = [heading, ...rows].map((row) => row.map((cell) => oneLine(String(cell ?? ''))))
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells
    .map((row) => row.map((cell, at) => (right[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!))))
    .map((row) => `${cut(row.join('  ').trimEnd(), width)}\n`)
    .join('')
}

/** Text from elsewhere with its line breaks and control characters made spaces. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}

function cut(line: string, width: number | undefined): string {
  return width === undefined || line.length <= width ? line : `${line.slice(0, width - 1)}…`
}
