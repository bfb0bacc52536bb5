import type { Delivery } from '../domain/delivery.ts'
import type { Nulls } from '../domain/event-context.ts'
import { parseFieldPath } from '../domain/field-path.ts'
import { asUtf8 } from '../domain/json-bytes.ts'
import type { Secret } from '../domain/secret.ts'
import { boundedTemplate, viewOf } from '../expressions/bounded.ts'
import { headerValue } from './header-value.ts'
import { problemOutcome, type TemplateOutcome } from './template-outcome.ts'
import { type OnUnmatched, UnmatchedPaths } from './unmatched-paths.ts'

/** What a target gets instead of the body as it was received. Absent, null or empty: nothing is changed. */
export interface ContentOptions {
  /** Paths of fields to take out, such as `call.systemPrompt`. */
  readonly redact?: readonly string[]
  /** A mapping, list or text with `{{ JSONata }}` in its strings. */
  readonly body?: unknown
  /** Configured headers whose values are templates. */
  readonly headers: Readonly<Record<string, Secret>>
  /** A configured content type; null where there is none. */
  readonly contentType: string | null
  /** Default: absent. */
  readonly nulls?: Nulls | undefined
  readonly onUnmatched?: OnUnmatched
}

/** The part of a request that depends on the event's content. */
export interface Content {
  readonly kind: 'content'
  readonly body: Uint8Array
  /** What the body is, unless a configured header says so; null where nobody knows. */
  readonly contentType: string | null
  /** Name, value, … of the headers that were filled in. */
  readonly headers: readonly string[]
  /** The names of headers whose values were cut to a bound. */
  readonly cut: readonly string[]
}

const TEXT = 'text/plain; charset=utf-8'

export type ContentComposer = (delivery: Delivery) => Promise<Content | TemplateOutcome>

/** Makes the content, or says why there is none. Null where it is always the body as received. */
export function createContentComposer(options: ContentOptions): ContentComposer | null {
  const { redact = [], body: template, nulls = 'absent', contentType, onUnmatched } = options
  const hasBody = template !== undefined && template !== null
  const headers = Object.entries(options.headers).map(([name, text]) => [name, text.reveal()] as const)
  if (redact.length === 0 && !hasBody && headers.length === 0) return null

  const fill = boundedTemplate<'content'>({
    kind: 'content',
    content: {
      redact: redact.map(parseFieldPath),
      headers,
      ...(hasBody && { body: template }),
      nulls,
      isJson: contentType !== null && /\bjson\b/i.test(contentType),
    },
  })
  const unmatched = onUnmatched === undefined ? undefined : new UnmatchedPaths(redact, onUnmatched)

  return async ({ event, attempts }) => {
    try {
      const filled = await fill(event.body, viewOf(event))
      if (attempts === 0) unmatched?.count(event.event, filled.matched)
      const sent: string[] = []
      const cut: string[] = []
      for (const [header, text] of filled.headers) {
        const { value, isCut } = headerValue(text)
        if (value !== '') sent.push(header, value)
        if (isCut) cut.push(header)
      }
      if (filled.body === null || filled.body === '') return refused('template: the body comes to nothing')
      const isReencoded = filled.body !== undefined && asUtf8(event.body) !== event.body
      return {
        kind: 'content',
        body: filled.body === undefined ? event.body : Buffer.from(filled.body as Uint8Array),
        contentType: filled.isText ? TEXT : hasBody || isReencoded ? 'application/json' : event.contentType,
        headers: sent,
        cut,
      }
    } catch (error) {
      return problemOutcome(error)
    }
  }
}

function refused(error: string) {
  return { kind: 'refused', error, unsent: true } as const
}
