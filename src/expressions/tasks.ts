import { type Explanation, explainCondition } from '../domain/condition-explained.ts'
import type { DeliveredEvent } from '../domain/delivery.ts'
import { errorMessage } from '../domain/errors.ts'
import { evaluatedAt } from '../domain/evaluation-error.ts'
import { callIdOf, type Payload, parsePayload } from '../domain/event.ts'
import { type EventView, eventContext, type Nulls } from '../domain/event-context.ts'
import { compile, compileCondition, compileTemplate, expressionsIn, isOneExpression } from '../domain/expression.ts'
import { type Cost, costOf, sumOf } from '../domain/expression-cost.ts'
import { ANY_KEY, type FieldPath } from '../domain/field-path.ts'
import { asUtf8, parseJson } from '../domain/json-bytes.ts'
import { createRedaction } from '../domain/redaction.ts'
import { conditionContext } from '../domain/routing.ts'
import { defaultMessage } from '../targets/slack-message.ts'
import { compileBody } from './body-template.ts'
import { compileBlocks, compileText } from './slack-template.ts'

/** Something to evaluate, as it is configured. It can be sent to another process. `identity` is no expression. */
export type Task =
  | { readonly kind: 'identity' }
  | { readonly kind: 'condition'; readonly text: string }
  | { readonly kind: 'explanation'; readonly text: string }
  | { readonly kind: 'content'; readonly content: ContentTemplate }
  | {
      readonly kind: 'message'
      readonly text: string | null
      readonly blocks: readonly unknown[] | null
      readonly nulls: Nulls
    }

/** The values that the tasks come to. */
export interface Values {
  identity: { readonly event: string; readonly callId: string | null }
  condition: boolean
  explanation: Explanation
  content: FilledContent
  /** A Slack message. Blocks are a JSON text, absent where they have no template. */
  message: { readonly text: string; readonly blocks?: string }
}

/** What an HTTP target sends instead of the body as received. */
export interface ContentTemplate {
  readonly redact: readonly FieldPath[]
  /** Names and templates. */
  readonly headers: readonly (readonly [name: string, template: string])[]
  /** Absent: the body as received, less what is redacted. */
  readonly body?: unknown
  /** Whether the target says that what it sends is JSON. */
  readonly isJson: boolean
  readonly nulls: Nulls
}

export interface FilledContent {
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Absent where the body is the one received; null where a template comes to nothing. Bytes are JSON in UTF-8. */
  readonly body?: string | Uint8Array | null
  /** Whether the body is text as it is, and not JSON. */
  readonly isText?: boolean
  /** Whether each of the redacted paths has matched. */
  readonly matched: readonly boolean[]
}

/** An event as templates see it. */
export function viewOf({ eventId: id, event: name, source, receivedAt }: DeliveredEvent): EventView {
  return { id, name, source, receivedAt: new Date(receivedAt).toISOString() }
}

/** What a task is evaluated on. `payload` is what `body` holds; `event` is null where no expression is evaluated. */
export interface Subject {
  readonly body: Uint8Array
  readonly payload: Payload
  readonly event: EventView | null
}

/** A task that failed on a payload. The message quotes no value from the payload. */
export class TaskError extends Error {}

/** The body is no event's. */
export class PayloadError extends TaskError {}

export interface CompiledTask<T> {
  /** Of its expressions on one payload; null where nothing is known to bound it. */
  readonly cost: Cost | null
  /** Rejects with `TaskError`. */
  readonly evaluate: (subject: Subject) => Promise<T>
}

/** Throws `ExpressionError` where an expression is no JSONata. */
export function compileTask<K extends Task['kind']>(task: Extract<Task, { kind: K }>): CompiledTask<Values[K]> {
  const { cost, evaluate } = compiled(task) as CompiledTask<Values[K]>
  return {
    cost,
    async evaluate(subject) {
      try {
        return await evaluate(subject)
      } catch (error) {
        throw new TaskError(errorMessage(error))
      }
    },
  }
}

function compiled(task: Task): CompiledTask<Values[Task['kind']]> {
  switch (task.kind) {
    case 'identity':
      return { cost: null, evaluate: async ({ payload }) => ({ event: payload.event, callId: callIdOf(payload) }) }
    case 'condition': {
      const condition = compileCondition(task.text)
      return {
        cost: costOf(compile(task.text)),
        evaluate: ({ payload, event }) => condition(conditionContext(payload, event!)),
      }
    }
    case 'explanation':
      compile(task.text)
      return {
        cost: null,
        evaluate: ({ payload, event }) => explainCondition(task.text, conditionContext(payload, event!)),
      }
    case 'content':
      return compiledContent(task.content)
    case 'message':
      return compiledMessage(task)
  }
}

function compiledContent({ redact, headers, body, isJson, nulls }: ContentTemplate): CompiledTask<FilledContent> {
  const redaction = createRedaction(redact)
  const fills = headers.map(([name, text]) => [name, compileTemplate(text)] as const)
  const fillBody = body === undefined ? null : compileBody(body)
  // A text with expressions in it is JSON as it is written; the value of one expression has to be made JSON.
  const isQuoted = isJson && typeof body === 'string' && isOneExpression(body)
  return {
    cost: sumOf([costIn([headers, body]), costOfRedaction(redact)]),
    async evaluate({ body: received, payload, event }) {
      const sent = asUtf8(received)
      const { json, matched } = redaction(sent)
      const redacted = json !== sent && { body: json }
      if (fills.length === 0 && fillBody === null) return { headers: [], matched, ...redacted }
      // Without the fields that are redacted it may have no `event` any more.
      const context = eventContext(json === sent ? payload : (parseJson(json) as object), event!, nulls)
      const filled: (readonly [string, string])[] = []
      for (const [name, fill] of fills) filled.push([name, await evaluatedAt(`headers.${name}`, fill(context))])
      if (fillBody === null) return { headers: filled, matched, ...redacted }
      const value = await fillBody(context)
      if (typeof value !== 'string' || isQuoted)
        return { headers: filled, matched, body: JSON.stringify(value) ?? null }
      return { headers: filled, matched, body: value, isText: true }
    },
  }
}

/** Measured: a path takes up to 8 µs a value with `*` in it, where a step of an expression takes 0.3, and 1 without. */
function costOfRedaction(paths: readonly FieldPath[]): Cost {
  const weights = paths.map((path): number => (path.includes(ANY_KEY) ? 25 : 3))
  return { perValue: weights.reduce((sum, weight) => sum + weight, 0), perCharacter: 0 }
}

function compiledMessage({ text, blocks, nulls }: Extract<Task, { kind: 'message' }>): CompiledTask<Values['message']> {
  const fillText = text === null ? null : compileText(text)
  const fillBlocks = blocks === null ? null : compileBlocks(blocks)
  return {
    cost: costIn([text, blocks]),
    async evaluate({ payload, event }) {
      const context = fillText === null && fillBlocks === null ? {} : eventContext(payload, event!, nulls)
      return {
        text:
          fillText === null
            ? defaultMessage({ event: event!.name, callId: callIdOf(payload), source: event!.source }, payload)
            : await evaluatedAt('text', fillText(context)),
        ...(fillBlocks !== null && { blocks: JSON.stringify(await fillBlocks(context)) }),
      }
    },
  }
}

/** Of the templates in a mapping, list or text. */
function costIn(node: unknown): Cost | null {
  if (typeof node === 'string') return sumOf(expressionsIn(node).map(costOf))
  if (typeof node !== 'object' || node === null) return sumOf([])
  return sumOf(Object.values(node).map(costIn))
}

/** Throws `PayloadError`. */
export function subjectOf(body: Uint8Array, event: EventView | null): Subject {
  const read = parsePayload(body)
  if ('problem' in read) throw new PayloadError(read.problem)
  return { body, payload: read.payload, event }
}
