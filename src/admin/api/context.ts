import type { Config } from '../../config/config.ts'
import type { UnfinishedRotation } from '../../config/rotation-state.ts'
import type { ServedCertificate } from '../../documents/certificate.ts'
import type { Clock } from '../../domain/clock.ts'
import { RelayError } from '../../domain/errors.ts'
import type { OutboxOperator } from '../../outbox/operator.ts'
import { count, listOf, nullable, object, type Schema, shape, targetWait, text } from './shapes.ts'

/** What the API works with. */
export interface ApiContext {
  readonly config: Config
  readonly operator: AdminOperator
  readonly clock: Clock
  /** What the public listener serves. */
  readonly certificate: () => ServedCertificate
  /** Reads the state of unfinished rotations; what cannot be read is among them. */
  readonly rotations: (config: Config) => Promise<readonly UnfinishedRotation[]>
}

/** What the API needs of an operator: nothing that gives all there is at once, but for rejections, which are bounded. */
export type AdminOperator = Omit<
  OutboxOperator,
  | 'findDeliveries'
  | 'confirmClock'
  | 'record'
  | 'clearRejections'
  | 'entriesAfter'
  | 'missingEvents'
  | 'sweep'
  | 'saveSweep'
  | 'saveGaps'
>

/** So many things one action may change: it is to be over before whoever asked gives up. */
export const MOST_CHANGED = 10_000

export function refuseTooMany(matched: number, what: string): void {
  if (matched <= MOST_CHANGED) return
  const message = `more than ${MOST_CHANGED} ${what} are meant: narrow the filter, or use the command line`
  throw new RelayError('usage', message)
}

/** What is said of a route besides its own: which errors there can be. */
export function answers(ok: Schema, ...errors: (400 | 404 | 409 | 422)[]): Record<number, Schema> {
  const failures = [...errors, 401, 403, 503].map((status) => [status, shape('Error')])
  return { 200: ok, ...Object.fromEntries(failures) }
}

export function page(name: string, item: Schema): Schema {
  return object({ [name]: listOf(item), more: { type: 'boolean', description: 'Whether there is more than this.' } })
}

/** How long what an action has queued takes, or why it waits; a target each. */
export const expected = listOf(
  object({
    target: text,
    added: count,
    queued: {
      ...count,
      description: 'Deliveries that are due or come after those in their calls, the added ones included.',
    },
    held: { ...count, description: 'Added behind dead deliveries of their calls; released by retry or cancel.' },
    waitsFor: nullable({
      ...targetWait,
      description: 'What keeps all of them from being sent; null where nothing does.',
    }),
    rate: nullable(
      object({
        from: { type: 'string', enum: ['rateLimit', 'measured'] },
        max: { type: 'number' },
        perMs: { type: 'integer' },
      }),
    ),
    durationMs: nullable({ ...count, description: 'Null where no rate is known, or the target waits.' }),
  }),
)

/** What an operator should know of an action besides its result. */
export const warnings = listOf(text)
