import type { LookupAddress } from 'node:dns'
import type { Socket } from 'node:net'

/** When the next address is tried while the attempts before it go on (RFC 8305, section 5). */
const DELAY_MS = 250
/** The shortest such delay, where there are more addresses than fit into the timeout. */
const SHORTEST_DELAY_MS = 100
/** How long a TLS handshake that has begun keeps the next address from being tried. */
const HANDSHAKE_MS = 2_000
/** Attempts at the same time. With more addresses, the oldest makes room, once it has had its time. */
const MOST_AT_ONCE = 16
const LEAST_ATTEMPT_MS = 2_000
/** Addresses of one name that are tried. An answer can hold some thousands. */
const MOST_ADDRESSES = 128
/** How long an address that failed, or was overtaken, comes after the others. */
const DEMOTED_MS = 300_000

/** Failures of the network during a TLS handshake. Any other failure is the server's answer and ends the race. */
const NETWORK_CODES = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'])

/** The addresses of one host that did not work lately. */
export class AddressHistory {
  readonly #demotedUntil = new Map<string, number>()

  demote(address: string): void {
    // Again at the end: of those that failed, the one that did so first is tried first.
    this.#demotedUntil.delete(address)
    this.#demotedUntil.set(address, performance.now() + DEMOTED_MS)
  }

  restore(address: string): void {
    this.#demotedUntil.delete(address)
  }

  /**
   * The order in which addresses are tried: each once, alternating between the families, beginning with the one that the
   * resolver prefers; then those that failed lately. The rest keeps the resolver's order, so that rotating answers still
   * spread connections over all addresses.
   */
  order(addresses: readonly LookupAddress[]): string[] {
    const unique = [...new Set(addresses.map(({ address }) => address))]
    const now = performance.now()
    for (const [address, until] of this.#demotedUntil) {
      if (until <= now || !unique.includes(address)) this.#demotedUntil.delete(address)
    }
    const isGood = (address: string) => !this.#demotedUntil.has(address)
    const demoted = [...this.#demotedUntil.keys()]
    return [...interleaved(unique.filter(isGood)), ...demoted].slice(0, MOST_ADDRESSES)
  }
}

function interleaved(addresses: readonly string[]): string[] {
  const isIpv6 = (address: string) => address.includes(':')
  const preferred = addresses.filter((address) => isIpv6(address) === isIpv6(addresses[0]!))
  const other = addresses.filter((address) => !preferred.includes(address))
  const longest = Math.max(preferred.length, other.length)
  return Array.from({ length: longest }, (_, n) => [preferred[n], other[n]])
    .flat()
    .filter((address) => address !== undefined)
}

export type Connected = (...result: [error: Error, socket: null] | [error: null, socket: Socket]) => void

export interface RaceOptions {
  /** In the order in which they are tried; at least one. */
  readonly addresses: readonly string[]
  /** What failures name beside the address. */
  readonly port: number
  /** The time that the caller has, in milliseconds. */
  readonly timeoutMs: number
  /**
   * Begins a connection to an address and returns its socket, which emits `connect` when the network part is done. Calls
   * `done` when the connection can be used (after a TLS handshake, where there is one). May throw.
   */
  readonly open: (address: string, done: Connected) => Socket
  readonly history: AddressHistory
}

interface Attempt {
  readonly address: string
  readonly startedAt: number
  socket: Socket | undefined
  /** Only the TLS handshake is missing. */
  isConnected: boolean
}

/**
 * Connects to the first of several addresses that accepts: the next one is tried at once when one fails, and after a delay
 * while the earlier attempts go on. Node's own selection aborts each attempt but the last after 250 ms, so that it never
 * reaches a host whose handshakes take longer.
 *
 * The first accepted connection ends the other attempts. Where its TLS handshake fails for a reason of the network, or does
 * not end, the remaining addresses are tried.
 */
export class AddressRace {
  readonly #options: RaceOptions
  #done: Connected = () => {}
  readonly #waiting: string[]
  readonly #running = new Set<Attempt>()
  readonly #failures: Error[] = []
  readonly #delayMs: number
  readonly #handshakeMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: RaceOptions) {
    this.#options = options
    this.#waiting = [...options.addresses]
    // All addresses get their turn in the first half of the time, where they can.
    const share = options.timeoutMs / 2 / options.addresses.length
    this.#delayMs = Math.min(DELAY_MS, Math.max(SHORTEST_DELAY_MS, share))
    this.#handshakeMs = Math.max(this.#delayMs, Math.min(HANDSHAKE_MS, options.timeoutMs / 4))
  }

  /** `done` is called once, unless the race is destroyed before. */
  start(done: Connected): void {
    this.#done = done
    this.#next()
  }

  /** The failure that the race would have if its time were over now: names each address that was tried. */
  timeoutError(): Error {
    const { timeoutMs } = this.#options
    const pending = [...this.#running].map((attempt) => this.#noAnswer(attempt, timeoutMs))
    return failureOf([...this.#failures, ...pending])
  }

  /** Ends all attempts without a result. None of their addresses is preferred next time. */
  destroy(): void {
    clearTimeout(this.#timer)
    for (const { address, socket } of this.#running) {
      this.#options.history.demote(address)
      socket?.destroy()
    }
    this.#running.clear()
  }

  #next(): void {
    clearTimeout(this.#timer)
    const address = this.#waiting.shift()
    if (address === undefined) {
      if (this.#running.size === 0) this.#end(failureOf(this.#failures))
      return
    }
    const attempt: Attempt = { address, startedAt: performance.now(), socket: undefined, isConnected: false }
    this.#running.add(attempt)
    this.#arm(this.#delayMs)
    try {
      attempt.socket = this.#options.open(address, (error, socket) => {
        if (!this.#running.has(attempt)) return
        if (error === null) this.#won(attempt, socket)
        else this.#failed(attempt, error)
      })
      attempt.socket.once('connect', () => this.#connected(attempt))
    } catch (error) {
      this.#failed(attempt, error as Error)
    }
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#onDelay(), ms)
  }

  #onDelay(): void {
    if (this.#running.size >= MOST_AT_ONCE) {
      const [oldest] = this.#running
      const leftMs = oldest!.startedAt + LEAST_ATTEMPT_MS - performance.now()
      if (leftMs > 0) return void this.#arm(leftMs)
      this.#running.delete(oldest!)
      oldest!.socket?.destroy()
      this.#options.history.demote(oldest!.address)
      this.#failures.push(this.#noAnswer(oldest!, performance.now() - oldest!.startedAt))
    }
    this.#next()
  }

  #connected(attempt: Attempt): void {
    if (!this.#running.has(attempt)) return
    attempt.isConnected = true
    const overtaken = [...this.#running].filter(({ isConnected }) => !isConnected)
    for (const other of overtaken) this.#overtake(other, attempt)
    this.#waiting.unshift(...overtaken.map(({ address }) => address))
    this.#arm(this.#handshakeMs)
  }

  /** Ends an attempt in favour of another. One that had more time than that is not preferred next time. */
  #overtake(other: Attempt, by: Attempt): void {
    this.#running.delete(other)
    other.socket?.destroy()
    if (other.startedAt < by.startedAt) this.#options.history.demote(other.address)
  }

  #failed(attempt: Attempt, error: Error): void {
    const { history, port } = this.#options
    const { address, isConnected } = attempt
    this.#running.delete(attempt)
    history.demote(address)
    const { code } = error as { code?: unknown }
    if (isConnected && !NETWORK_CODES.has(String(code))) return void this.#end(error)
    // Errors of handshakes do not say where they happened.
    this.#failures.push(Object.assign(error, { address, port }))
    this.#next()
  }

  #won(attempt: Attempt, socket: Socket): void {
    const { history } = this.#options
    this.#running.delete(attempt)
    history.restore(attempt.address)
    for (const other of this.#running) this.#overtake(other, attempt)
    this.destroy()
    this.#done(null, socket)
  }

  #end(error: Error): void {
    this.destroy()
    this.#done(error, null)
  }

  #noAnswer({ address, isConnected }: Attempt, waitedMs: number): Error {
    const { port } = this.#options
    const syscall = isConnected ? 'handshake' : 'connect'
    return Object.assign(new Error('no answer'), { code: 'ETIMEDOUT', syscall, address, port, waitedMs })
  }
}

/** One failure as it is; several together, each with its address. */
function failureOf(failures: readonly Error[]): Error {
  return failures.length === 1 ? failures[0]! : new AggregateError(failures)
}
