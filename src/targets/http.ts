import { type AnswerPattern, type AnswerRules, answerKind } from '../domain/answer-policy.ts'
import type { Clock } from '../domain/clock.ts'
import type { DeliveredEvent, Delivery } from '../domain/delivery.ts'
import type { Nulls } from '../domain/event-context.ts'
import { withNote } from '../domain/outcome.ts'
import type { Secret } from '../domain/secret.ts'
import { VIA_HEADER } from '../domain/via.ts'
import type { ConnectionOptions } from '../outgoing/connector.ts'
import { answerOutcome } from './answer-outcome.ts'
import { configuredHeaders } from './configured-headers.ts'
import { HEADER_VALUE_LIMIT } from './header-value.ts'
import { createContentComposer } from './http-content.ts'
import { type Answer, createHttpExchanges } from './http-exchange.ts'
import { identityValues } from './identity-values.ts'
import { multipart } from './multipart.ts'
import { createSigner, type SignOptions } from './signing.ts'
import type { Target } from './target.ts'
import { parseTargetUrl } from './target-url.ts'
import type { OnUnmatched } from './unmatched-paths.ts'

export interface HttpTargetOptions extends ConnectionOptions {
  readonly name: string
  readonly url: Secret
  readonly method: 'POST' | 'PUT' | 'PATCH'
  /** Sent with every request; `{{ JSONata }}` in them is filled in. The relay's own headers are not among them. */
  readonly headers: Readonly<Record<string, Secret>>
  /** From the connect to the last byte of the answer. */
  readonly timeoutMs: number
  readonly sign: SignOptions | null
  /** Connections, and so attempts at the same time. */
  readonly concurrency: number
  /** The age at which a connection is replaced. Default: a minute. */
  readonly maxConnectionAgeMs?: number
  /** Of an answer's status line and headers, in bytes. */
  readonly maxHeadBytes?: number
  /** Answers to try again that would otherwise be final. */
  readonly retryOn: readonly AnswerPattern[]
  /** Answers that are final and would otherwise be tried again. */
  readonly rejectOn?: readonly AnswerPattern[]
  /** Paths of fields to take out of the body, such as `call.systemPrompt`. */
  readonly redact?: readonly string[]
  /** A redacted path has led to nothing for a while. */
  readonly onUnmatched?: OnUnmatched
  /** What to send instead of the body: a mapping, list or text with `{{ JSONata }}` in its strings. */
  readonly body?: unknown
  /** What templates see of fields that are null. Default: absent. */
  readonly nulls?: Nulls
  /** Sends multipart/form-data, with the delivery's recording as a part of its own where it has one. Not with `sign`. */
  readonly multipart?: boolean
}

/** Sends the event's body, byte for byte as it was received unless the options say otherwise, to a URL. */
export function createHttpTarget(options: HttpTargetOptions, clock: Clock): Target {
  const exchanges = createHttpExchanges({
    ...options,
    url: parseTargetUrl(options.name, options.url),
    maxHeadKey: `targets.${options.name}.responseHeaderLimit`,
  })
  const sign = options.sign === null ? () => [] : createSigner(options.sign)
  const own = configuredHeaders(options.headers)
  const compose = createContentComposer({ ...options, headers: own.templates, contentType: own.contentType })
  const rules: AnswerRules = { retryOn: options.retryOn, rejectOn: options.rejectOn ?? [] }

  const outcomeOf = (answer: Answer) => {
    const { status, redirect = '' } = answer
    return answerOutcome(answer, answerKind(status, rules), `http ${status}${redirect}`, clock.now())
  }

  return {
    name: options.name,
    async send(delivery, signal, onSent) {
      const { event } = delivery
      // Nothing is awaited or made for the usual target, which sends what came in.
      const content = compose === null ? null : await compose(delivery)
      if (content !== null && content.kind !== 'content') return content
      const body = content?.body ?? event.body
      const contentType = own.contentType === null ? (content ?? event).contentType : null
      const parts = options.multipart ? multipart(body, contentType, delivery.recording) : null
      const headers = [
        ...own.headers,
        ...(content?.headers ?? []),
        ...(parts?.headers ?? (contentType === null ? [] : ['content-type', contentType])),
        ...identityHeaders(delivery),
        ...traceHeaders(event),
        ...(event.via == null ? [] : [VIA_HEADER, event.via]),
        // Over what is sent, so that the receiver can verify it.
        ...sign(event.eventId, body, clock.now()),
      ]
      const result = await exchanges.send(headers, parts?.body ?? body, signal, onSent)
      parts?.body.destroy()
      const outcome = result.kind === 'answered' ? outcomeOf(result) : result
      return withNote(outcome, cutNote(content?.cut ?? []))
    },
    close: exchanges.close,
  }
}

function cutNote(headers: readonly string[]): string {
  return headers.length === 0 ? '' : `cut header ${headers.join(', ')} to ${HEADER_VALUE_LIMIT} characters`
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

function traceHeaders({ traceparent, tracestate }: DeliveredEvent): string[] {
  if (traceparent == null) return []
  return ['traceparent', traceparent, ...(tracestate == null ? [] : ['tracestate', tracestate])]
}
