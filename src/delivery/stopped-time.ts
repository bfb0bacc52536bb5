/** For how long a lane could not send anything, in milliseconds: it was paused, the process was frozen, or the machine suspended. */
export class StoppedTime {
  #totalMs = 0
  #since: number | null

  constructor(now: number) {
    this.#since = now
  }

  get isStopped(): boolean {
    return this.#since !== null
  }

  set(isStopped: boolean, now: number): void {
    if (isStopped === this.isStopped) return
    this.#totalMs = this.upTo(now)
    this.#since = isStopped ? now : null
  }

  /** Adds time in which nothing could be sent, though the lane was not paused. */
  skip(ms: number): void {
    if (!this.isStopped) this.#totalMs += ms
  }

  /** Only the difference of two of these means something. */
  upTo(now: number): number {
    return this.#totalMs + (this.#since === null ? 0 : Math.max(0, now - this.#since))
  }
}
