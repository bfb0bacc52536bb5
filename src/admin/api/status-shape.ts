import type { StatusDocument } from '../../documents/status.ts'
import type {
  FailingPart,
  JournalEntry,
  ProviderReport,
  SourceActivity,
  UnreadableCalls,
  WebhookProblem,
} from '../../outbox/operator.ts'
import {
  count,
  flag,
  instant,
  integer,
  listOf,
  nullable,
  object,
  oneOf,
  type Properties,
  type Schema,
  text,
  variant,
} from './schema.ts'

type Part<Key extends keyof StatusDocument> = NonNullable<StatusDocument[Key]>

const daemon = object({
  pid: integer,
  version: text,
  listen: text,
  configFile: text,
  startedAt: instant,
  reloads: count,
  reloadedAt: nullable(instant),
  reloadProblem: nullable(text),
  secrets: {
    type: 'object',
    additionalProperties: listOf(text),
    description: 'Fingerprints of the secrets of each source.',
  },
  running: flag,
} satisfies Properties<Part<'daemon'>>)

const certificate: Schema = {
  type: 'object',
  description: 'What the public listener serves, and why its files are not loaded.',
  properties: {
    subject: text,
    issuer: text,
    names: listOf(text),
    notBefore: instant,
    notAfter: instant,
    fingerprint: text,
    selfSigned: flag,
    lifetime: oneOf('not_yet_valid', 'valid', 'expiring', 'expired'),
    problem: nullable(text),
  },
}

const outbox = object({
  path: text,
  events: count,
  bytes: count,
  usedBytes: { ...count, description: 'Of these, what is in use.' },
  walBytes: count,
  freeBytes: count,
  reserveBytes: count,
  maxSizeBytes: nullable(count),
  createdAt: nullable(instant),
  schemaVersion: count,
  programSchema: { ...count, description: 'The schema version of this program.' },
  retentionHeld: nullable({
    ...object({ clockOffMs: integer, since: instant, confirmedInMs: integer }),
    description: 'Why nothing is deleted for its age: the clock is in doubt.',
  }),
} satisfies Properties<Part<'outbox'>>)

const source = object({
  source: text,
  lastEventAt: nullable(instant),
  eventsLastHour: count,
  refusedLastHour: listOf(object({ reason: text, count })),
  configured: flag,
} satisfies Properties<SourceActivity & { configured: boolean }>)

const provider = object({
  source: text,
  completedUntil: nullable(instant),
  fetched: count,
  gaps: count,
  swept: nullable(object({ at: instant, calls: count, recorded: count })),
  problem: nullable(object({ at: instant, message: text })),
  unreadable: listOf(
    object({
      list: oneOf('calls', 'deleted calls'),
      since: instant,
      count,
      callId: nullable(text),
      field: text,
      problem: text,
    } satisfies Properties<UnreadableCalls>),
  ),
  failing: listOf(
    object({
      endpoint: text,
      since: instant,
      at: instant,
      failures: count,
      message: text,
    } satisfies Properties<FailingPart>),
  ),
  webhook: nullable(
    object({
      at: instant,
      problems: listOf(
        object({
          kind: oneOf('missing', 'moved', 'unhealthy', 'events', 'secrets', 'agent'),
          message: text,
        } satisfies Properties<WebhookProblem>),
      ),
    }),
  ),
} satisfies Properties<Required<ProviderReport>>)

const rotation = variant({
  problem: { ...text, description: 'Why its state cannot be read; nothing else is there then.' },
  webhookId: text,
  newSecret: { ...text, description: 'A fingerprint.' },
  oldSecrets: { ...listOf(text), description: 'Fingerprints.' },
  startedAt: instant,
  registeredAt: nullable(instant),
  retiredAt: nullable(instant),
  unregisteredAt: nullable(instant),
})

/** What `ultravox-relay status --json` prints. `target`: the shape of one. */
export function statusShape(target: Schema): Schema {
  return object({
    at: instant,
    version: text,
    daemon: nullable(daemon),
    certificate: nullable(certificate),
    outbox,
    sources: listOf(source),
    targets: listOf(target),
    provider: listOf(provider),
    rotations: listOf(rotation),
  } satisfies Properties<StatusDocument>)
}

type EntryKey = JournalEntry extends infer Entry ? (Entry extends unknown ? keyof Entry : never) : never

/** An entry of `ultravox-relay tail --json`. Which other keys there are depends on the kind. */
export const entryShape: Schema = variant(
  {
    kind: oneOf('event', 'attempt', 'refusal'),
    at: instant,
    source: text,
    eventId: text,
    event: text,
    callId: nullable(text),
    deliveryId: integer,
    target: text,
    attempt: integer,
    startedAt: instant,
    durationMs: count,
    outcome: oneOf('delivered', 'failed', 'refused'),
    status: nullable(integer),
    error: nullable(text),
    note: nullable(text),
    rejectionId: integer,
    reason: text,
    peer: text,
    bytes: nullable(count),
  } satisfies Readonly<Record<EntryKey, Schema>>,
  'kind',
  'at',
)
