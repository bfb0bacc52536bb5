import type { Clock } from '../domain/clock.ts'
import type { Delivery } from '../domain/delivery.ts'
import type { Outcome } from '../domain/outcome.ts'
import type { Secret } from '../domain/secret.ts'
import { type Answer, createHttpExchanges } from './http-exchange.ts'
import { identityValues } from './identity-values.ts'
import { retryAfterMs } from './retry-after.ts'
import { createSigner, type SignOptions } from './signing.ts'
import type { Target } from './target.ts'
import { parseTargetUrl } from './target-url.ts'
import { USER_AGENT } from './user-agent.ts'

export interface HttpTargetOptions {
  readonly name: string
  readonly url: Secret
  readonly method: 'POST' | 'PUT' | 'PATCH'
  /** Sent with every request. The names of headers that the relay sets itself are not among them. */
  readonly headers: Readonly<Record<string, Secret>>
  /** From the connect to the last byte of the answer. */
  readonly timeoutMs: number
  readonly sign: SignOptions | null
  /** Connections, and so attempts at the same time. */
  readonly concurrency: number
  /** Statuses to try again that would otherwise be final. */
  readonly retryOn: readonly number[]
}

/** 4xx that say "not now" rather than "not this": timeout, too early, too many. */
const RETRIED_4XX = [408, 425, 429]

/** Sends the event's body, byte for byte as it was received, to a URL. */
export function createHttpTarget(options: HttpTargetOptions, clock: Clock): Target {
  const exchanges = createHttpExchanges({ ...options, url: parseTargetUrl(options.name, options.url) })
  const sign = options.sign === null ? () => [] : createSigner(options.sign)
  const own = ownHeaders(options.headers)
  const retried = new Set([...RETRIED_4XX, ...options.retryOn])

  return {
    name: options.name,
    async send(delivery, signal) {
      const { event } = delivery
      const headers = [
        ...own.headers,
        ...(own.contentType || event.contentType === null ? [] : ['content-type', event.contentType]),
        ...identityHeaders(delivery),
        ...sign(event.eventId, event.body, clock.now()),
      ]
      const result = await exchanges.send(headers, event.body, signal)
      return result.kind === 'answered' ? outcomeOf(result, retried, clock) : result
    },
    close: exchanges.close,
  }
}

function ownHeaders(configured: Readonly<Record<string, Secret>>): { headers: string[]; contentType: boolean } {
  const names = Object.keys(configured).map((name) => name.toLowerCase())
  const headers = Object.entries(configured).flatMap(([name, value]) => [name, value.reveal()])
  if (!names.includes('user-agent')) headers.push('user-agent', USER_AGENT)
  return { headers, contentType: names.includes('content-type') }
}

function identityHeaders(delivery: Delivery): string[] {
  const identity = identityValues(delivery)
  return [
    'webhook-id',
    identity.eventId,
    'x-relay-event',
    identity.event,
    ...(identity.callId === '' ? [] : ['x-relay-call-id', identity.callId]),
    'x-relay-source',
    identity.source,
    'x-relay-target',
    identity.target,
    'x-relay-attempt',
    identity.attempt,
  ]
}

function outcomeOf({ status, retryAfter, response }: Answer, retried: ReadonlySet<number>, clock: Clock): Outcome {
  const answer = { status, ...(response !== undefined && { response }) }
  if (status < 300) return { kind: 'delivered', ...answer }
  if (status >= 500 || retried.has(status)) {
    const wait = retryAfterMs(retryAfter, clock.now())
    return { kind: 'failed', error: `http ${status}`, ...answer, ...(wait !== undefined && { retryAfterMs: wait }) }
  }
  return { kind: 'refused', error: `http ${status}${status < 400 ? ', a redirect is not followed' : ''}`, ...answer }
}
