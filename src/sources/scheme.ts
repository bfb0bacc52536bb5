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

/** Whether a request is genuine. `signed` tells of a refused one whether it was all the same signed by the sender. */
export type Verdict =
  | { readonly genuine: true }
  | { readonly genuine: false; readonly code: RefusalCode; readonly message: string; readonly signed: boolean }

/** One way of proving that a request comes from who it says. Pure, never throws. */
export interface Scheme {
  /** `now` in epoch milliseconds. */
  verify(request: SignedRequest, now: number): Verdict
  /** Names of the headers worth keeping with a refusal, lower case. */
  readonly evidence: readonly string[]
}
