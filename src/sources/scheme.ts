import type { RefusalCode } from '../domain/errors.ts'

/** The headers of a request to a source, as a scheme sees them. */
export interface SignedHeaders {
  /** A header's text by its lower-case name; Node joins repeated ones with a comma. */
  header(name: string): string | undefined
  /** How often a header was sent. */
  headerCount(name: string): number
}

/** Finds out whether a body is what the headers were made for. `body`: exactly the bytes received; `now` in epoch milliseconds. */
export type Judge = (body: Uint8Array, now: number) => Verdict

/** Whether a request is genuine. */
export type Verdict = GenuineVerdict | RefusedVerdict

export interface GenuineVerdict {
  readonly genuine: true
  /** Fingerprints of all the secrets that it was signed with. */
  readonly signedWith: readonly string[]
}

export interface RefusedVerdict {
  readonly genuine: false
  readonly code: RefusalCode
  readonly message: string
  /** Whether it was signed by the sender all the same. */
  readonly signed: boolean
}

/** One way of proving that a request comes from who it says. Pure, never throws. */
export interface Scheme {
  /** Reads the headers, once: refuses what they alone condemn, before the body is read; else gives what judges the body. */
  open(headers: SignedHeaders): Judge | RefusedVerdict
  /** False if it accepts whatever anyone sends, so that an accepted event says nothing about its sender. */
  readonly verifies: boolean
  /** Names of the headers worth keeping with a refusal, lower case. */
  readonly evidence: readonly string[]
}

/** A request that is there whole. */
export interface SignedRequest extends SignedHeaders {
  readonly body: Uint8Array
}

/** Judges a request that is there whole. */
export function verify(scheme: Scheme, request: SignedRequest, now: number): Verdict {
  const opened = scheme.open(request)
  return typeof opened === 'function' ? opened(request.body, now) : opened
}
