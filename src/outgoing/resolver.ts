import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { isNoSuchName, ToldError } from '../domain/network-error.ts'
import { inTurns } from './lookup-turns.ts'
import { NAMES_AT_ONCE, systemLookup } from './system-lookup.ts'

/** How long answers are used, in milliseconds. `getaddrinfo` does not report a record's time to live. */
export interface AnswerLifetimes {
  /** Addresses, without asking again. */
  readonly freshMs: number
  /** Addresses, while the resolver fails or has not answered yet. */
  readonly staleMs: number
  /** That a name does not exist. */
  readonly missingMs: number
}

const SYSTEM_LIFETIMES: AnswerLifetimes = { freshMs: 10_000, staleMs: 3_600_000, missingMs: 2_000 }
const NO_LIFETIMES: AnswerLifetimes = { freshMs: 0, staleMs: 0, missingMs: 0 }
/** Names whose answers are kept: those of recordings' hosts come from answers, so there may be any number of them. */
const MOST_NAMES = 1_000
/** How long a known name waits for a new answer before the last one is used. */
const STALE_AFTER_MS = 1_000
/** The longest wait for a name, and its share of the caller's timeout: the rest is for the connection. */
const LONGEST_WAIT_MS = 30_000
const WAIT_SHARE = 0.75

/** `isKept`: the addresses are from an earlier answer. */
type Found = (error: Error | null, addresses: readonly LookupAddress[], isKept: boolean) => void

interface Answer {
  readonly error: Error | null
  readonly addresses: readonly LookupAddress[]
  /** By the monotonic clock. */
  freshUntil: number
  readonly staleUntil: number
}

/**
 * Resolves names for all connections of a process. A name is asked for once, however many connections wait for it. Its
 * answer is used for a few seconds, and for up to an hour while the resolver fails or is slow. An answer that a name does not
 * exist replaces the earlier addresses; a failure of the resolver never does.
 */
export class Resolver {
  readonly #lookup: LookupFunction
  readonly #lifetimes: AnswerLifetimes
  readonly #answers = new Map<string, Answer>()
  readonly #asked = new Map<string, Set<Found>>()

  constructor(lookup: LookupFunction, lifetimes: AnswerLifetimes = NO_LIFETIMES) {
    this.#lookup = lookup
    this.#lifetimes = lifetimes
  }

  /**
   * Calls `found` once with at least one address or an error: a failure of `getaddrinfo`, or `ToldError` where there is no
   * answer within three quarters of `timeoutMs`. Calls it at once where the answer is known. The returned function cancels
   * the call. `isCurrent`: only an answer that the resolver would give now will do.
   */
  resolve(hostname: string, { timeoutMs, isCurrent = false }: ResolveOptions, found: Found): () => void {
    const name = hostname.toLowerCase()
    const answer = this.#answers.get(name)
    const now = performance.now()
    if (answer !== undefined && now < answer.freshUntil) {
      found(answer.error, answer.addresses, true)
      return () => {}
    }
    const last = !isCurrent && answer?.error === null && now < answer.staleUntil ? answer.addresses : null
    const waitMs = Math.min(LONGEST_WAIT_MS, timeoutMs * WAIT_SHARE)
    const end = () => {
      clearTimeout(timer)
      this.#asked.get(name)?.delete(waiting)
    }
    const onTimeout = () => {
      end()
      if (last !== null) found(null, last, true)
      else found(noAnswer(hostname, waitMs), [], false)
    }
    const waiting: Found = (error, addresses) => {
      end()
      if (last !== null && error !== null && !isMissing(error)) found(null, last, true)
      else found(error, addresses, false)
    }
    const timer = setTimeout(onTimeout, last === null ? waitMs : Math.min(waitMs, STALE_AFTER_MS))
    this.#ask(name, hostname, waiting)
    return end
  }

  /** Has the next connection ask again, because no address of the last answer could be connected to. */
  distrust(hostname: string): void {
    const answer = this.#answers.get(hostname.toLowerCase())
    if (answer !== undefined) answer.freshUntil = 0
  }

  #ask(name: string, hostname: string, waiting: Found): void {
    const asked = this.#asked.get(name)
    if (asked !== undefined) return void asked.add(waiting)
    const waiters = new Set([waiting])
    this.#asked.set(name, waiters)
    this.#lookup(hostname, { all: true }, (failure, result, family) => {
      this.#asked.delete(name)
      const list = typeof result === 'string' ? [{ address: result, family: family ?? 0 }] : result
      const addresses = failure === null ? list : []
      const error = failure === null && addresses.length === 0 ? noAddress(hostname) : failure
      this.#keep(name, error, addresses)
      for (const each of [...waiters]) each(error, addresses, false)
    })
  }

  #keep(name: string, error: Error | null, addresses: readonly LookupAddress[]): void {
    const { freshMs, staleMs, missingMs } = this.#lifetimes
    if (error !== null && !isMissing(error)) return
    const now = performance.now()
    // Again at the end, so that the first is the one not asked for the longest.
    this.#answers.delete(name)
    const freshUntil = now + (error === null ? freshMs : missingMs)
    this.#answers.set(name, { error, addresses, freshUntil, staleUntil: now + staleMs })
    if (this.#answers.size > MOST_NAMES) this.#answers.delete(this.#answers.keys().next().value!)
  }
}

export interface ResolveOptions {
  /** The whole time that the caller has. */
  readonly timeoutMs: number
  readonly isCurrent?: boolean
}

/** Resolves by the system, for the whole process. */
export const systemResolver = new Resolver(
  inTurns(systemLookup.lookup, NAMES_AT_ONCE, performance.now.bind(performance)),
  SYSTEM_LIFETIMES,
)

function isMissing(error: Error): boolean {
  return isNoSuchName((error as { code?: unknown }).code)
}

function noAddress(hostname: string): Error {
  return Object.assign(new Error('no address'), { code: 'ENODATA', syscall: 'getaddrinfo', hostname })
}

/** The failure of a look-up that had this many milliseconds. */
export function noAnswer(hostname: string, waitMs: number): ToldError {
  return new ToldError(`dns: no answer within ${waitMs / 1000}s for ${hostname}`, { isResolverFailure: true })
}
