const HOME = '\u001b[H'
const CLEAR_LINE_END = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
const CUT_LONG_LINES = '\u001b[?7l'
const WRAP_LONG_LINES = '\u001b[?7h'

/**
 * Text over what the terminal shows, written in place so that it does not flicker. Of more lines than there are `rows`,
 * the last ones are left out and counted, and long lines are cut: a terminal that scrolls would leave pieces behind.
 */
export function screenful(text: string, rows: number): string {
  const lines = text.trimEnd().split('\n')
  const room = Math.max(1, rows - 1)
  const shown = lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`]
  const drawn = shown.map((line) => `${line}${CLEAR_LINE_END}\n`).join('')
  return `${HOME}${CUT_LONG_LINES}${drawn}${WRAP_LONG_LINES}${CLEAR_BELOW}`
}
