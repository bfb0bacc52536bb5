import { z } from 'zod'
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

export const CALL = z.object({
  callId: z.string().min(1),
  created: instant,
  joined: optional(instant),
  ended: optional(instant),
  billingStatus: z.string(),
  endReason: optional(z.string()),
})

/** What is left of a deleted call. */
export const DELETED_CALL = z
  .object({
    callId: z.string().min(1),
    created: instant,
    joined: optional(instant),
    ended: optional(instant),
    endReason: optional(z.string()),
    deletionTime: instant,
  })
  .transform(({ deletionTime, ...call }) => ({ ...call, deletedAt: deletionTime }))

/** No field of a message is promised. */
export const MESSAGE = z.object({ role: optional(z.string()), text: optional(z.string()) })

export const WEBHOOK = z.object({
  webhookId: z.string().min(1),
  agentId: optional(z.string()),
  created: instant,
  url: z.string(),
  secrets: z
    .array(z.string().transform((text) => new Secret(text)))
    .nullish()
    .transform((secrets) => secrets ?? []),
  events: z.array(z.string()),
  status: z.string(),
  lastStatusChange: optional(instant),
  recentFailures: z.array(
    z
      .object({ timestamp: instant, failure: z.string() })
      .transform(({ timestamp, failure }) => ({ at: timestamp, failure })),
  ),
})

export const PAGE = z.object({ next: optional(z.string()), results: z.array(z.unknown()), total: optional(z.int()) })

/**
 * Parses an answer to `request`. Throws `ProviderError` with the path of what is wrong, never with what is there: that
 * may be a secret or a caller's data.
 */
export function parseAnswer<T>(shape: z.ZodType<T>, body: Uint8Array, request: string): T {
  return readShape(shape, parseJson(body, request), request)
}

export function readShape<T>(shape: z.ZodType<T>, value: unknown, request: string): T {
  const read = shapeOf(shape, value)
  if ('problem' in read) throw unexpected(request, read.problem)
  return read.value
}

/** What is read of a value, or the path of what is wrong and why. */
export function shapeOf<T>(shape: z.ZodType<T>, value: unknown): { readonly value: T } | { readonly problem: string } {
  const read = shape.safeParse(value)
  if (read.success) return { value: read.data }
  const [issue] = read.error.issues
  return { problem: `${issue?.path.join('.') || 'the whole'}: ${issue?.message}` }
}

function parseJson(body: Uint8Array, request: string): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    throw unexpected(request, 'no JSON')
  }
}

/** An answer that came well, and is not what the API is known to give. */
export function unexpected(request: string, what: string): ProviderError {
  return new ProviderError('provider_failed', `${request}: the answer is not as expected: ${what}`, {
    repeat: 'never',
    unusable: true,
  })
}
