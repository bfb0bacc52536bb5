import * as z from 'zod'
import { isCallId } from '../domain/event.ts'
import { parseJson } from '../domain/json-bytes.ts'
import { Secret } from '../domain/secret.ts'
import { parseTimestamp } from '../domain/timestamp.ts'
import { ProviderError } from './provider-error.ts'

/**
 * What we use of the provider's answers. Fields that are not named here may come and go, enumerations may grow: they are
 * plain strings. Instants become epoch milliseconds, secrets a `Secret` before anybody can look at them.
 */
const instant = z.string().transform((text, context) => {
  const ms = parseTimestamp(text)
  if (ms !== null) return ms
  context.addIssue({ code: 'custom', message: 'is no time' })
  return z.NEVER
})

const optional = <T extends z.ZodType>(shape: T) => shape.nullish().transform((value) => value ?? null)

/** With another, the events of a call would be found missing in every sweep: they are not on record by that id. */
const callId = z.string().refine(isCallId, 'is not usable as a call id')

/** What is read of a call. `undefined`: the field is there in a form that cannot be read, or is missing. */
export interface CallFields {
  readonly callId: string
  readonly created: number | undefined
  /** Null: not joined. */
  readonly joined: number | null | undefined
  /** Null: not over. */
  readonly ended: number | null | undefined
  readonly billingStatus: string | undefined
  readonly endReason: string | null | undefined
}

/** What is left of a deleted call. */
export type DeletedCallFields = Omit<CallFields, 'billingStatus'> & { readonly deletedAt: number | undefined }

/** The billing statuses of the API description. Another one counts as billed, and is reported. */
const BILLING_STATUSES: readonly string[] = [
  'PENDING',
  'UNSPECIFIED',
  'BILLED',
  'REFUNDED',
  'FREE_CONSOLE',
  'FREE_ZERO_EFFECTIVE_DURATION',
  'FREE_MINUTES',
  'FREE_SYSTEM_ERROR',
  'FREE_OTHER',
].map((status) => `BILLING_STATUS_${status}`)

const LIFE = { callId, created: instant, joined: optional(instant), ended: optional(instant) }
// Nothing follows from why a call ended and when it was deleted, so it does not matter how that is written.
const endReason = optional(z.string()).catch(null)
const CALL = { ...LIFE, billingStatus: z.string(), endReason }
const DELETED_CALL = { ...LIFE, endReason, deletionTime: instant.optional().catch(undefined) }

/** Reads a call field by field: one that cannot be read takes nothing from the others. */
export const readCall: Reader<CallFields> = (value) => {
  const { fields, problems } = readFields(CALL, value)
  if (fields === undefined) return { value: undefined, problems }
  const { billingStatus } = fields
  const known = billingStatus === undefined || BILLING_STATUSES.includes(billingStatus)
  const unknown = { callId: fields.callId, field: 'billingStatus', message: 'unknown value' }
  return { value: fields, problems: known ? problems : [...problems, unknown] }
}

/** See `readCall`. */
export const readDeletedCall: Reader<DeletedCallFields> = (value) => {
  const { fields, problems } = readFields(DELETED_CALL, value)
  if (fields === undefined) return { value: undefined, problems }
  const { deletionTime, ...call } = fields
  return { value: { ...call, deletedAt: deletionTime }, problems }
}

/** What is read of an item of a list. */
export interface Read<T> {
  /** Undefined where the item as a whole is of no use. */
  readonly value: T | undefined
  readonly problems: readonly FieldProblem[]
}

export type Reader<T> = (value: unknown) => Read<T>

/** Why a field cannot be read. Never holds what is there: that may be a secret or a caller's data. */
export interface FieldProblem {
  /** Null where the item has no readable id. */
  readonly callId: string | null
  /** Its path; empty for the item itself. */
  readonly field: string
  readonly message: string
}

/** Reads items of which every field is needed. */
export function wholly<T>(shape: z.ZodType<T>): Reader<T> {
  return (value) => {
    const read = shape.safeParse(value)
    if (read.success) return { value: read.data, problems: [] }
    return { value: undefined, problems: [{ callId: null, ...problemOf(read.error) }] }
  }
}

const OBJECT = z.looseObject({})

type Fields<S extends z.ZodRawShape> = { readonly [K in keyof S]: z.output<S[K]> | undefined }

function readFields<S extends typeof LIFE>(
  shape: S,
  value: unknown,
): {
  readonly fields: (Fields<S> & { readonly callId: string }) | undefined
  readonly problems: readonly FieldProblem[]
} {
  const whole = OBJECT.safeParse(value)
  if (!whole.success) return { fields: undefined, problems: [{ callId: null, ...problemOf(whole.error), field: '' }] }
  const id = shape.callId.safeParse(whole.data.callId)
  const callId = id.success ? id.data : null
  const fields: Record<string, unknown> = {}
  const problems: FieldProblem[] = []
  for (const [field, each] of Object.entries(shape)) {
    const read = each.safeParse(whole.data[field])
    if (read.success) fields[field] = read.data
    else {
      fields[field] = undefined
      problems.push({ callId, ...problemOf(read.error), field })
    }
  }
  return { fields: callId === null ? undefined : (fields as Fields<S> & { callId: string }), problems }
}

/** No field of a message is promised. */
export const MESSAGE = z.object({ role: optional(z.string()), text: optional(z.string()) })

/** A list that may be null, absent or something else, without those items that cannot be read. */
const lenientList = <T extends z.ZodType>(item: T) =>
  z
    .array(item.nullable().catch(null as never))
    .catch([])
    .transform((items) => items.filter((each) => each !== null))

/** `at`: null where its time cannot be read. */
const webhookFailure = z
  .object({ timestamp: instant.nullish().catch(null), failure: z.string().nullish().catch(null) })
  .transform(({ timestamp, failure }) => ({ at: timestamp ?? null, failure: failure ?? 'no reason given' }))

/**
 * Only the id and the URL are needed to know a webhook by. What is null, absent or unreadable of the rest is empty,
 * and a status that is missing is `unknown`: one odd field must not keep a webhook from being listed or changed.
 */
export const WEBHOOK = z.object({
  webhookId: z.string().min(1),
  agentId: optional(z.string()),
  created: instant
    .nullish()
    .catch(null)
    .transform((created) => created ?? null),
  url: z.string(),
  secrets: lenientList(z.string().transform((text) => new Secret(text))),
  events: lenientList(z.string()),
  status: z.string().min(1).catch('unknown'),
  lastStatusChange: instant
    .nullish()
    .catch(null)
    .transform((changed) => changed ?? null),
  recentFailures: lenientList(webhookFailure),
})

/** A count, which some gateways write as text. What is neither is as if it were not there. */
const count = z
  .union([
    z.int().min(0),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ])
  .nullish()
  .catch(null)
  .transform((value) => value ?? null)

/** `next` is judged only after the page's items have been used. */
export const PAGE = z.object({ next: z.unknown().optional(), results: z.array(z.unknown()), total: count })

/**
 * Parses an answer to `request`. Throws `ProviderError` with the path of what is wrong, never with what is there: that
 * may be a secret or a caller's data.
 */
export function parseAnswer<T>(shape: z.ZodType<T>, body: Uint8Array, request: string): T {
  const read = shape.safeParse(parseJsonAnswer(body, request))
  if (read.success) return read.data
  const { field, message } = problemOf(read.error)
  throw unexpected(request, `${field === '' ? 'the whole' : field}: ${message}`)
}

function problemOf(error: z.ZodError): { readonly field: string; readonly message: string } {
  const [issue] = error.issues
  return { field: issue?.path.join('.') ?? '', message: issue?.message ?? 'unreadable' }
}

/** Throws `ProviderError`. */
export function parseJsonAnswer(body: Uint8Array, request: string): unknown {
  try {
    return parseJson(body)
  } catch {
    const isGzip = body[0] === 0x1f && body[1] === 0x8b
    throw unexpected(request, isGzip ? 'compressed, which was not asked for: no JSON' : 'no JSON')
  }
}

/** An answer that came well, and is not what the API is known to give. */
export function unexpected(request: string, what: string): ProviderError {
  return new ProviderError('provider_failed', `${request}: the answer is not as expected: ${what}`, {
    repeat: 'never',
    unusable: true,
  })
}
