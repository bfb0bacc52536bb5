import type { Outbox, ProbeRequest } from '../outbox/outbox.ts'
import type { Lanes, LanesLog } from './lanes.ts'

export interface ProbesOptions {
  readonly lanes: Pick<Lanes, 'probe'>
  readonly outbox: Pick<Outbox, 'probeRequests' | 'answerProbe'>
  readonly log: Pick<LanesLog, 'outboxUnavailable'>
}

/** Probes the targets that commands ask for. Targets do not wait for each other; of one target, one probe is under way at a time. */
export class Probes {
  readonly #options: ProbesOptions
  /** The targets that are being probed. */
  readonly #probing = new Set<string>()

  constructor(options: ProbesOptions) {
    this.#options = options
  }

  /** Looks for requests. What cannot be read or answered now is answered at the next request, or by the next start of the relay. */
  async look(): Promise<void> {
    try {
      const requests = await this.#options.outbox.probeRequests()
      await Promise.all(requests.map((request) => this.#probe(request)))
    } catch (error) {
      this.#options.log.outboxUnavailable('all', error as Error)
    }
  }

  async #probe({ target, request }: ProbeRequest): Promise<void> {
    const { lanes, outbox } = this.#options
    if (this.#probing.has(target)) return
    this.#probing.add(target)
    try {
      await outbox.answerProbe(target, request, await lanes.probe(target))
    } finally {
      this.#probing.delete(target)
    }
    // One that was requested meanwhile.
    await this.look()
  }
}
