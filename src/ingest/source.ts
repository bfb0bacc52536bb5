import type { Judge, Scheme, SignedRequest } from '../sources/scheme.ts'

/** Where webhooks come in. */
export interface Source {
  readonly name: string
  /** The provider account it belongs to: the scope of an event's identity. */
  readonly account: string
  /** The whole path, compared as it stands in the request. */
  readonly path: string
  readonly scheme: Scheme
  /** Takes the relay's secrets out of what is kept of a refused request: some senders show them in the wrong place. */
  readonly conceal: (text: string) => string
}

/** A request to a source, whole. */
export interface IncomingRequest extends SignedRequest {
  /** What the source's scheme makes of its headers. */
  readonly judge: Judge
  /** The Content-Type header as received. */
  readonly contentType: string | null
  /** The relay's own. */
  readonly requestId: string
  /** The client's address. */
  readonly peer: string
}
