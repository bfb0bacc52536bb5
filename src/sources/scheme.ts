import type { RefusalCode } from '../domain/errors.ts'

/** A request to a source, as a scheme sees it. */
export interface SignedRequest {
  /** A header's text by its lower-case name; Node joins repeated ones with a comma. */
  header(name: string): string | undefined
  /** How often a header was sent. */
  headerCount(name: string): number
  /** Exactly the bytes received. */
  readonly body: Uint8Array
}

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
  /** `now` in epoch milliseconds. */
  verify(request: SignedRequest, now: number): Verdict
  /** Refuses a request that its headers alone condemn, before its body is read; undefined where the body has to be seen. */
  precheck?(request: Omit<SignedRequest, 'body'>): RefusedVerdict | undefined
  /** Names of the headers worth keeping with a refusal, lower case. */
  readonly evidence: readonly string[]
}
