import { ERRORS, overwriteLine } from './output.ts'

const CELLS = 30

export interface ProgressBar {
  show(done: number, total: number): void
  /** Takes the line away. */
  end(): void
}

/** How far a work of known size has come, on stderr; nothing where that is no terminal. */
export function createProgressBar(what: string, output = ERRORS): ProgressBar {
  const write = (text: string) => overwriteLine(text, output)
  return {
    show: (done, total) => write(`${what} ${bar(total === 0 ? 1 : done / total)}`),
    end: () => write(''),
  }
}

function bar(share: number): string {
  const full = Math.floor(share * CELLS)
  return `[${'#'.repeat(full)}${'-'.repeat(CELLS - full)}] ${String(Math.floor(share * 100)).padStart(3)} %`
}
