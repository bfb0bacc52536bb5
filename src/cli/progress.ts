import { ERRORS, overwriteLine } from './output.ts'

/** Does a work of `total` pieces that tells how far it has come; however it ends, the line is taken away. */
export async function withProgress<T>(total: number, work: (advance: Progress['advance']) => Promise<T>): Promise<T> {
  const progress = createProgress(total)
  try {
    return await work(progress.advance)
  } finally {
    progress.end()
  }
}

export interface Progress {
  advance(count: number): void
  /** Takes the line away. */
  end(): void
}

/** How far a long work has come, in one line on stderr; nothing where that is no terminal. */
export function createProgress(total: number, output = ERRORS): Progress {
  let done = 0
  const show = (text: string) => overwriteLine(text, output)
  return {
    advance(count) {
      done += count
      show(`${done} of ${total}`)
    },
    end: () => show(''),
  }
}
