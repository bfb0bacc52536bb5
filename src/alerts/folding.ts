import type { Clock } from '../domain/clock.ts'
import type { Alert } from './relay-event.ts'
import type { Schedule } from './schedule.ts'

export interface FoldingOptions {
  /** How long after one goes out its like are folded, in milliseconds. */
  readonly windowMs: number
  readonly schedule: Schedule
  readonly clock: Clock
  /** Sends out an alert that stands for `count` raisings, the last one `at`; false if that failed. Does not reject. */
  readonly emit: (alert: Alert, at: number, count: number) => Promise<boolean>
}

/** An alert and when it was raised (epoch milliseconds). */
interface Raised {
  readonly alert: Alert
  readonly at: number
}

interface Window {
  /** The latest of those folded into it. */
  last: Raised | undefined
  count: number
  cancel: () => void
}

/**
 * Keeps one trouble from becoming a thousand events. Of alerts that are alike (the same event about the same subject)
 * the first goes out at once, and those of the window that follows together as one at its end, which begins the next
 * window. One that could not go out counts as folded: it gets another chance at the end of the window, and there is never
 * more than one waiting for each subject.
 */
export class Folding {
  readonly #options: FoldingOptions
  readonly #windows = new Map<string, Window>()
  readonly #sending = new Set<Promise<void>>()
  #stopped = false

  constructor(options: FoldingOptions) {
    this.#options = options
  }

  raise(alert: Alert): void {
    if (this.#stopped) return
    const raised = { alert, at: this.#options.clock.now() }
    const window = this.#windows.get(keyOf(alert))
    if (window === undefined) this.#send(raised, 1)
    else fold(window, raised, 1)
  }

  /** Lets out at once what is folded; resolves when it is out. Nothing can be raised any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    // One that is on its way may yet come back as folded.
    await Promise.all(this.#sending)
    for (const { cancel, last, count } of this.#windows.values()) {
      cancel()
      if (last !== undefined) this.#track(this.#options.emit(last.alert, last.at, count))
    }
    this.#windows.clear()
    await Promise.all(this.#sending)
  }

  #send(raised: Raised, count: number): void {
    const { alert, at } = raised
    const key = keyOf(alert)
    const { schedule, windowMs, emit } = this.#options
    const window: Window = { last: undefined, count: 0, cancel: schedule(windowMs, () => this.#end(key)) }
    this.#windows.set(key, window)
    this.#track(
      emit(alert, at, count).then((out) => {
        if (!out) fold(window, window.last ?? raised, count)
      }),
    )
  }

  #end(key: string): void {
    const window = this.#windows.get(key)
    this.#windows.delete(key)
    if (window?.last !== undefined) this.#send(window.last, window.count)
  }

  #track(work: Promise<unknown>): void {
    const done = work.then(() => {})
    this.#sending.add(done)
    void done.then(() => this.#sending.delete(done))
  }
}

function fold(window: Window, raised: Raised, count: number): void {
  window.last = raised
  window.count += count
}

function keyOf({ event, subject }: Alert): string {
  return `${event} ${subject}`
}
