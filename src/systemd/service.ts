import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../domain/errors.ts'
import type { Vitals } from '../domain/vitals.ts'
import { createNotify, type Notify } from './notify.ts'
import { statusLine } from './status-line.ts'
import { watchdogMs } from './watchdog.ts'

/** What systemd is told of the relay's life. */
export interface Service {
  /** It works: from now on its status is kept up to date, and it gives signs of life where they are wanted. */
  ready(relay: Relay): void
  /** Tells of a reload, before and after; `reload` says whether it was not refused. */
  reloading(reload: () => Promise<boolean>): Promise<void>
  /** It ends in good order. Resolves when systemd knows. */
  stopping(): Promise<void>
}

export interface Relay {
  readonly address: string
  vitals(): Promise<Vitals>
}

export interface ServiceOptions {
  readonly env: NodeJS.ProcessEnv
  readonly pid: number
  /** systemd cannot be told. */
  readonly unheard: (problem: string) => void
  /** No sign of life is given, and why: systemd will end the process. */
  readonly lifeless: (problem: string) => void
}

/** How often the status is looked at where no signs of life are wanted. */
const STATUS_EVERY_MS = 30_000

/** The service as systemd has started it. Not started by it, all of this does nothing and costs nothing. */
export function createService(options: ServiceOptions): Service {
  const notify = createNotify(options.env, options.unheard)
  return notify === undefined ? ON_ITS_OWN : new SystemdService(notify, options)
}

const ON_ITS_OWN: Service = {
  ready() {},
  async reloading(reload) {
    await reload()
  },
  async stopping() {},
}

class SystemdService implements Service {
  readonly #notify: Notify
  readonly #lifeless: ServiceOptions['lifeless']
  readonly #watchdog: boolean
  readonly #everyMs: number
  readonly #ended = new AbortController()
  #relay: Relay | undefined
  #reloaded = true
  #shown = ''

  constructor(notify: Notify, { env, pid, lifeless }: ServiceOptions) {
    const withinMs = watchdogMs(env, pid)
    this.#notify = notify
    this.#lifeless = lifeless
    this.#watchdog = withinMs !== undefined
    this.#everyMs = withinMs === undefined ? STATUS_EVERY_MS : withinMs / 2
  }

  ready(relay: Relay): void {
    this.#relay = relay
    void this.#notify('READY=1')
    void this.#beat()
  }

  async reloading(reload: () => Promise<boolean>): Promise<void> {
    // systemd takes it for the answer to its signal if it is not older than that: by CLOCK_MONOTONIC, as hrtime is.
    void this.#notify('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`)
    this.#reloaded = await reload()
    void this.#notify('READY=1')
    await this.#look()
  }

  async stopping(): Promise<void> {
    this.#ended.abort()
    await this.#notify('STOPPING=1', 'STATUS=stopping: no new requests, running attempts end')
  }

  /**
   * Looks at the relay time and again. One that is stuck does not answer, and so the next sign of life does not come: the
   * event loop has to turn for it, and the outbox's thread has to have been through all that it was asked before.
   */
  async #beat(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      await this.#look()
      await sleep(this.#everyMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    try {
      const vitals = await within(this.#everyMs, this.#relay!.vitals())
      if (this.#ended.signal.aborted) return
      const status = `STATUS=${statusLine(this.#relay!.address, vitals, this.#reloaded)}`
      const sign = this.#watchdog ? ['WATCHDOG=1'] : []
      if (sign.length > 0 || status !== this.#shown) await this.#notify(...sign, status)
      this.#shown = status
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#lifeless(errorMessage(error))
    }
  }
}

/** The vitals, if they come in time and tell of no delivery that has waited for longer than that. */
async function within(ms: number, asked: Promise<Vitals>): Promise<Vitals> {
  const inTime = new AbortController()
  const timeout = sleep(ms, undefined, { signal: inTime.signal, ref: false })
  const vitals = await Promise.race([asked, timeout]).finally(() => inTime.abort())
  if (vitals !== undefined && vitals.unansweredMs < ms) return vitals
  throw new Error(`the outbox has not answered for ${(ms / 1_000).toFixed(1)} s`)
}
