import { INSTANT_FORM, readEnd, readInstant } from '../../documents/instants.ts'
import { REJECTION_REASONS } from '../../documents/rejection-causes.ts'
import { RelayError } from '../../domain/errors.ts'
import { flag, id, type Schema, word } from './shapes.ts'

/** Most rows of a list. */
const MOST_ROWS = 1_000
/** Most things that one request names. */
const MOST_IDS = 1_000

const time: Schema = {
  type: 'string',
  description: 'An ISO time (UTC without an offset), a time of day such as 09:45, or an age such as 2h or 1h30m.',
}
const end: Schema = { type: 'string', description: 'As since; a date means its end, a time of day that of today.' }
const received = { since: time, until: end }

export const eventKeys = {
  source: word,
  event: { ...word, description: 'A name; * stands for any run of characters.' },
  call: { ...word, description: 'The id of a call.' },
  ...received,
} as const satisfies Record<string, Schema>

/** `states`: those that it can be about. */
export function deliveryKeys(states: Schema): Record<string, Schema> {
  return {
    target: word,
    state: states,
    ...eventKeys,
    eventId: { type: 'array', minItems: 1, maxItems: MOST_IDS, items: word },
    error: { ...word, description: 'A piece of the last error.' },
    holding: { ...flag, description: 'Whether it is a dead delivery that holds the rest of its call.' },
    after: { ...id, description: 'Deliveries with a higher id.' },
  }
}

export const rejectionKeys = {
  reason: { type: 'string', enum: [...REJECTION_REASONS] },
  source: word,
  peer: word,
  ...received,
  kept: { type: 'boolean', description: 'On record with its body: it can be admitted.' },
} as const satisfies Record<string, Schema>

/** The query of a list. What it does not know is refused, for a slip in a filter would mean everything. */
export function listQuery(keys: Readonly<Record<string, Schema>>): Schema {
  const limit = { type: 'integer', minimum: 1, maximum: MOST_ROWS, default: 50 }
  return { type: 'object', additionalProperties: false, properties: { ...keys, limit } }
}

/** The body of an action on many things. */
export function actionBody(
  ids: Schema,
  keys: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
): Schema {
  return {
    type: 'object',
    ...(required.length > 0 && { required }),
    additionalProperties: false,
    properties: {
      ids: { type: 'array', minItems: 1, maxItems: MOST_IDS, uniqueItems: true, items: ids },
      ...keys,
      dryRun: { ...flag, default: false, description: 'Only say what would be done.' },
    },
  }
}

/** What every action can be asked for. */
export interface Action<Id> {
  readonly ids?: Id[]
  readonly dryRun: boolean
}

/** Times as they are written. */
type Written<T extends Times> = Omit<T, keyof Times> & { readonly since?: string; readonly until?: string }

interface Times {
  readonly since?: number
  readonly until?: number
}

/** Reads the times in what is asked for. Throws `usage`. */
export function asked<T extends Times>({ since, until, ...rest }: Written<T>, now: number): T {
  const times = { since: readTime('since', since, now, readInstant), until: readTime('until', until, now, readEnd) }
  return { ...rest, ...times } as unknown as T
}

export type AskedAs<T extends Times> = Written<T>

function readTime(key: string, written: string | undefined, now: number, read: typeof readInstant): number | undefined {
  if (written === undefined) return undefined
  const instant = read(written, now, 'UTC')
  if (instant === undefined) throw new RelayError('usage', `${key}: ${INSTANT_FORM}`)
  return instant
}

/** Throws `usage` where nothing is named that an action is to be done to. */
export function named<T>(filter: T | undefined): T {
  if (filter !== undefined) return filter
  throw new RelayError('usage', 'say what is meant: ids, or at least one filter')
}
