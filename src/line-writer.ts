/** What takes text and writes it in the background. */
export interface Sink {
  write(text: string): unknown
  flush(done: () => void): void
}

export interface LineWriter {
  write(line: string): void
  /** Hands on what waits; resolves when the sink has written it. */
  flush(): Promise<void>
  /** Hands on what waits. */
  handOver(): void
}

/** More is not gathered: it is handed on at once. */
const MOST_GATHERED = 64 * 1024

/** How long a line waits for others. */
const GATHERED_FOR_MS = 10

/**
 * Gathers what is written within moments and hands it on in one piece. For a sink that writes in the background, a piece for
 * each line was measured to cost more CPU than all else that is done for an event: 100 µs, most of it in handing the piece
 * to another thread.
 */
export function gatherLines(sink: Sink): LineWriter {
  let gathered = ''
  let timer: NodeJS.Timeout | undefined

  function handOver(): void {
    clearTimeout(timer)
    timer = undefined
    if (gathered === '') return
    const text = gathered
    gathered = ''
    sink.write(text)
  }

  return {
    write(line) {
      gathered += line
      if (gathered.length >= MOST_GATHERED) handOver()
      else timer ??= setTimeout(handOver, GATHERED_FOR_MS).unref()
    },
    flush() {
      handOver()
      return new Promise((resolve) => sink.flush(resolve))
    },
    handOver,
  }
}
