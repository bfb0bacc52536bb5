import type { Outbox } from '../outbox/outbox.ts'
import type { Lanes, LanesLog } from './lanes.ts'

const RETRY_MS = 1_000

export interface RecallsOptions {
  readonly lanes: Pick<Lanes, 'recall'>
  readonly outbox: Pick<Outbox, 'answerRecall'>
  readonly log: Pick<LanesLog, 'outboxUnavailable'>
  /** Pause after the outbox could not be reached, in milliseconds. */
  readonly retryMs?: number
}

/** Answers the recalls that commands ask for, one at a time. One answer serves all requests that were made before it was begun. */
export class Recalls {
  readonly #options: RecallsOptions
  #requested = 0
  #answered = 0
  #isRunning = false
  #hasEnded = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: RecallsOptions) {
    this.#options = options
  }

  request(request: number): void {
    this.#requested = Math.max(this.#requested, request)
    void this.#run()
  }

  /** What is not answered by now is answered by the end of the relay. */
  end(): void {
    this.#hasEnded = true
    clearTimeout(this.#timer)
  }

  async #run(): Promise<void> {
    const { lanes, outbox, log, retryMs = RETRY_MS } = this.#options
    if (this.#isRunning) return
    this.#isRunning = true
    clearTimeout(this.#timer)
    try {
      while (!this.#hasEnded && this.#answered < this.#requested) {
        const request = this.#requested
        await outbox.answerRecall(request, await lanes.recall())
        this.#answered = request
      }
    } catch (error) {
      if (this.#hasEnded) return
      log.outboxUnavailable('all', error as Error)
      this.#timer = setTimeout(() => void this.#run(), retryMs)
    } finally {
      this.#isRunning = false
    }
  }
}
