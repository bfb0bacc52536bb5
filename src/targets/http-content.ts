import type { DeliveredEvent } from '../domain/delivery.ts'
import { parsePayload } from '../domain/event.ts'
import { compileTemplate, evaluationProblem } from '../domain/expression.ts'
import { parseFieldPath } from '../domain/field-path.ts'
import type { Outcome } from '../domain/outcome.ts'
import type { Secret } from '../domain/secret.ts'
import { compileBody } from './body-template.ts'
import { createRedaction } from './redaction.ts'

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
}

/** The part of a request that depends on the event's content. */
export interface Content {
  readonly kind: 'content'
  readonly body: Uint8Array
  /** What the body is, unless a configured header says so; null where nobody knows. */
  readonly contentType: string | null
  /** Name, value, … of the headers that were filled in. */
  readonly headers: readonly string[]
}

export type ContentComposer = (event: DeliveredEvent) => Promise<Content | Extract<Outcome, { kind: 'refused' }>>

/** Makes the content, or says why this event will never give one. Null where it is always the body as received. */
export function createContentComposer(options: ContentOptions): ContentComposer | null {
  const { redact = [], body: template } = options
  const hasBody = template !== undefined && template !== null
  const headers = Object.entries(options.headers).map(([name, text]) => ({
    name,
    fill: compileTemplate(text.reveal()),
  }))
  if (redact.length === 0 && !hasBody && headers.length === 0) return null

  const redacted = createRedaction(redact.map(parseFieldPath))
  const fillBody = hasBody ? compileBody(template) : null

  return async (event) => {
    // The redaction takes only what is known to be JSON.
    const received = parsePayload(event.body)
    if ('problem' in received) return refused(`payload: ${received.problem}`)
    const json = redacted(event.body)
    const asReceived = { kind: 'content', body: json, contentType: event.contentType, headers: [] } as const
    if (fillBody === null && headers.length === 0) return asReceived

    const context = contextOf(
      event,
      json === event.body ? received.payload : JSON.parse(new TextDecoder().decode(json)),
    )
    try {
      const filled: string[] = []
      for (const { name, fill } of headers) {
        const value = (await fill(context)).trim()
        if (!isHeaderValue(value)) return refused(`template: the header ${name} ${NO_HEADER_VALUE}`)
        if (value !== '') filled.push(name, value)
      }
      if (fillBody === null) return { ...asReceived, headers: filled }
      const text = textOf(await fillBody(context), options.contentType)
      if (text === undefined) return refused('template: the body comes to nothing')
      return { kind: 'content', body: Buffer.from(text), contentType: 'application/json', headers: filled }
    } catch (error) {
      return refused(`template: ${evaluationProblem(error)}`)
    }
  }
}

/** What templates see. `event` is the relay's view of it; the payload's own `event` is its name as text. */
function contextOf(event: DeliveredEvent, payload: { call?: unknown; attached?: unknown }): object {
  const { eventId: id, event: name, source, receivedAt } = event
  return {
    event: { id, name, source, receivedAt: new Date(receivedAt).toISOString() },
    call: payload.call,
    attached: payload.attached,
    payload,
  }
}

/** Text for a content type that is not JSON is sent as it is; all else as JSON. Undefined where there is nothing. */
function textOf(value: unknown, contentType: string | null): string | undefined {
  const isPlain = typeof value === 'string' && contentType !== null && !/\bjson\b/i.test(contentType)
  return isPlain ? value : JSON.stringify(value)
}

const NO_HEADER_VALUE = 'comes out with a line break, control character or non-Latin character, which none can carry'

function isHeaderValue(value: string): boolean {
  return !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}

function refused(error: string) {
  return { kind: 'refused', error } as const
}
