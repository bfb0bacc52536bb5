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
