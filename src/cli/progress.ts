/** Works through much in steps of `size`, telling how far it has come; what is on record then stays so if one fails. */
export async function inSteps<T>(all: readonly T[], size: number, work: (step: T[]) => Promise<void>): Promise<void> {
  const progress = createProgress(all.length)
  try {
    for (let start = 0; start < all.length; start += size) {
      const step = all.slice(start, start + size)
      await work(step)
      progress.advance(step.length)
    }
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
