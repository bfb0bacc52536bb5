import { RelayError } from '../domain/errors.ts'

/** What is known of a request that failed beyond the words for people. */
export interface FailureFacts {
  /** Of the answer; absent where there was none. */
  readonly status?: number
  /** How long the provider asked us to wait, in milliseconds. */
  readonly retryAfterMs?: number
  /**
   * Whether the same request may be sent again: `always` where the provider surely did nothing (over its limit, or never
   * reached), `idempotent` where it may have done what was asked, `never` where the same would come of it.
   */
  readonly repeat: 'always' | 'idempotent' | 'never'
  /** Whether the provider did answer, and the answer cannot be used: waiting longer may not help. */
  readonly unusable?: boolean
}

/**
 * A request to the provider that came to nothing. The code is `provider_failed` where later may be better, and
 * `provider_refused` where something must be changed first. It holds no key, no secret and no cause: an error of the
 * HTTP client may carry headers and pieces of an answer.
 */
export class ProviderError extends RelayError {
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
  readonly repeat: FailureFacts['repeat']
  readonly unusable: boolean

  constructor(code: 'provider_failed' | 'provider_refused', message: string, facts: FailureFacts) {
    super(code, message)
    this.name = 'ProviderError'
    this.status = facts.status
    this.retryAfterMs = facts.retryAfterMs
    this.repeat = facts.repeat
    this.unusable = facts.unusable ?? false
  }
}
