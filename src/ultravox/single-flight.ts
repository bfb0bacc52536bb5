interface Flight<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  waiting: number
}

/** Work that several want at the same time is done once for all of them, and aborted when the last has gone away. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>()

  /** Throws what the work throws, or the reason of `signal` as soon as that aborts. */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const flight = this.#flights.get(key) ?? this.#start(key, work)
    flight.waiting++
    try {
      return await orAborted(flight.result, signal)
    } finally {
      flight.waiting--
      if (flight.waiting === 0) this.#end(key, flight)
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController()
    const flight = { result: work(controller.signal), controller, waiting: 0 }
    this.#flights.set(key, flight)
    // Whoever comes after its end begins anew, also where some of those who waited have yet to notice.
    const done = () => this.#end(key, flight)
    flight.result.then(done, done)
    return flight
  }

  #end(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
    flight.controller.abort()
  }
}

function orAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    signal.addEventListener('abort', leave)
    void result.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}
