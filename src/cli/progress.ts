/** Works through much in steps of `size`, telling how far it has come; what is on record then stays so if one fails. */
export function inSteps<T>(all: readonly T[], size: number, work: (step: T[]) => Promise<void>): Promise<void> {
  return withProgress(all.length, async (advance) => {
    for (let start = 0; start < all.length; start += size) {
      const step = all.slice(start, start + size)
      await work(step)
      advance(step.length)
    }
  })
}

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
export function createProgress(total: number, output: NodeJS.WriteStream = process.stderr): Progress {
  let done = 0
  const show = (text: string) => {
    if (output.isTTY) output.write(`\r\u001b[K${text}`)
  }
  return {
    advance(count) {
      done += count
      show(`${done} of ${total}`)
    },
    end: () => show(''),
  }
}
