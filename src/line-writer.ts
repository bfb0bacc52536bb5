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

/** After something was handed on, what comes in so many milliseconds is gathered. */
const PAUSE_MS = 10

/**
 * Gathers what is written within moments and hands it on in one piece; what comes after a pause is handed on at once. For a
 * sink that writes in the background, a piece for each line was measured to cost more CPU than all else that is done for
 * an event: 100 µs, most of it in handing the piece to another thread.
 */
export function gatherLines(sink: Sink): LineWriter {
  let gathered = ''
  let turn: NodeJS.Immediate | undefined
  let pause: NodeJS.Timeout | undefined

  function handOver(): void {
    clearImmediate(turn)
    clearTimeout(pause)
    turn = undefined
    pause = undefined
    if (gathered === '') return
    const text = gathered
    gathered = ''
    pause = setTimeout(handOver, PAUSE_MS).unref()
    sink.write(text)
  }

  return {
    write(line) {
      gathered += line
      if (gathered.length >= MOST_GATHERED) handOver()
      else if (pause === undefined) turn ??= setImmediate(handOver)
    },
    flush() {
      handOver()
      return new Promise((resolve) => sink.flush(resolve))
    },
    handOver,
  }
}
