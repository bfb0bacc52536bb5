import type { AnswerPattern } from '../domain/answer-policy.ts'
import type { RetryPolicy } from '../domain/backoff.ts'
import type { Nulls } from '../domain/event-context.ts'
import type { Secret } from '../domain/secret.ts'

/** The configuration as the relay uses it: references resolved, defaults filled in, durations in milliseconds. */
export interface Config {
  /** Absolute. */
  file: string
  /** Of the file; relative paths in it start here. */
  directory: string
  server: ServerConfig
  outbox: OutboxConfig
  delivery: { alertAfterMs: number }
  sources: Record<string, SourceConfig>
  targets: Record<string, TargetConfig>
  routes: RouteConfig[]
  /** Accounts at the provider, with distinct names. */
  ultravox: UltravoxConfig[]
  log: { level: 'error' | 'warn' | 'info' | 'debug' }
  /** Null: no admin listener. */
  admin: AdminConfig | null
  /** Null: no spans are exported. */
  tracing: TracingConfig | null
}

export interface TracingConfig {
  /** Where spans are sent, whole: with `/v1/traces` at its end. */
  url: string
  headers: Record<string, Secret>
  serviceName: string
  /** From 0 to 1. */
  sampleRatio: number
}

export interface AdminConfig {
  /** `socketPath` is absolute; of `host` and `port`, see `ServerConfig`. */
  listen: { host: string; port: number } | { socketPath: string }
  /** Null: whoever can connect may do everything. */
  token: Secret | null
  hosts: string[]
  /** Such as 0o600. */
  socketMode: number
}

export interface OutboxConfig {
  /** Absolute. */
  path: string
  createIfMissing: boolean
  reserveBytes: number
  retention: RetentionConfig
  /** Null: as large as it gets. */
  maxSizeBytes: number | null
}

/** How long what is finished is kept. */
export interface RetentionConfig {
  deliveredMs: number
  deadMs: number
  rejectionsMs: number
  keysMs: number
}

export interface UltravoxConfig {
  account: string
  apiKey: Secret
  /** Without a slash at its end. */
  baseUrl: string
  proxy: Secret | null
  tls: TlsConfig | null
  requestsPerSecond: number
  webhook: WebhookConfig | null
  reconcile: ReconcileConfig | null
  enrich: EnrichConfig
}

/** What may be fetched of calls for the targets that ask for it. */
export interface EnrichConfig {
  transcript: boolean
  recording: boolean
  maxTranscriptBytes: number
  maxRecordingBytes: number
  /** For one of them. */
  timeoutMs: number
  /** For one that is missing or unusable, from the delivery's first attempt; null: for as long as it is tried. */
  maxWaitMs: number | null
}

export interface ReconcileConfig {
  everyMs: number
  lookbackMs: number
  graceMs: number
  source: string
}

export interface WebhookConfig {
  url: string
  events: string[]
  /** Null: all agents' calls. */
  agentId: string | null
  /** The name of a source with `scheme: ultravox`. */
  source: string
}

export interface ServerConfig {
  /** `host` is a host name or an address, IPv6 without brackets. Port 0 takes any free one. */
  listen: { host: string; port: number }
  /** IP addresses and CIDRs. */
  trustProxy: string[]
  bodyLimitBytes: number
  maxHeaderSizeBytes: number
  rateLimit: { maxRefused: number; perMs: number }
  /** Null: plain HTTP. */
  tls: ServerTlsConfig | null
  keepAliveTimeoutMs: number
  shutdownTimeoutMs: number
}

export interface ServerTlsConfig {
  /** PEM as it was when the configuration was loaded. */
  cert: Secret
  key: Secret
  minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** Where they come from, to be looked at for newer ones; null where they stand in the configuration itself. */
  certFile: string | null
  keyFile: string | null
}

export type SourceConfig = UltravoxSourceConfig | NoneSourceConfig

/** What every source has. */
interface SourceBasis {
  path: string
  /** The scope of the identity of its events: the name of a provider account, or `source:NAME` for one that verifies nothing. */
  account: string
  /** For how long it may be silent; null where that is nothing to tell of. */
  expectWithinMs: number | null
}

export interface UltravoxSourceConfig extends SourceBasis {
  scheme: 'ultravox'
  /** Those of the configuration, then those of the file: at least one for the daemon. */
  secrets: Secret[]
  /** Absolute; null where there is none, or its name cannot be had here. */
  secretsFile: string | null
  toleranceMs: number
}

export interface NoneSourceConfig extends SourceBasis {
  scheme: 'none'
}

export type TargetConfig = HttpTargetConfig | SlackTargetConfig | ExecTargetConfig

/** What is fetched of a call and sent along with its events. */
export interface AttachConfig {
  transcript: boolean
  recording: 'url' | 'file' | null
}

/** What references stand for; of those with a default that is used, the default. */
export interface ReferencedSecrets {
  readonly values: readonly Secret[]
  readonly fallbacks: readonly Secret[]
}

/** What every target has. */
export interface Pacing {
  referenced: ReferencedSecrets
  /** Null: nothing. */
  attach: AttachConfig | null
  timeoutMs: number
  concurrency: number
  rateLimit: { max: number; perMs: number } | null
  breaker: { failures: number; cooldownMs: number; maxCooldownMs: number }
  /** Whether a call's events go out in order, one at a time. */
  ordered: boolean
  /** Whether in an ordered target a dead delivery holds back the rest of its call. */
  holdOnDead: boolean
  paused: boolean
  retry: RetryPolicy
}

/** How a target that sends HTTP requests connects, and the headers it adds. */
export interface ConnectionConfig {
  headers: Record<string, Secret>
  tls: TlsConfig | null
  /** Absolute. */
  socketPath: string | null
  proxy: Secret | null
}

export interface HttpTargetConfig extends Pacing, ConnectionConfig {
  type: 'http'
  url: Secret
  method: 'POST' | 'PUT' | 'PATCH'
  /** Paths of fields as in `domain/field-path.ts`. */
  redact: string[]
  /** A mapping, list or text with `{{ JSONata }}` in its strings; null for the body as received. */
  body: unknown
  /** What templates see of fields that are null. */
  nulls: Nulls
  sign: SignConfig | null
  /** Answers that are retried besides the usual ones. */
  retryOn: AnswerPattern[]
  /** Answers that are final besides the usual ones. */
  rejectOn: AnswerPattern[]
  allowLinkLocal: boolean
  /** The age at which a connection is replaced. */
  maxConnectionAgeMs: number
  /** Bytes of an answer's status line and headers. */
  maxHeadBytes: number
}

/** PEM, not paths. A certificate file may have its key in it, so all of them are kept from sight. */
export interface TlsConfig {
  ca: Secret | null
  cert: Secret | null
  key: Secret | null
  servername: string | null
  insecure: boolean
  /** The files that these were read from, absolute; none where they stand in the configuration itself. */
  files?: readonly string[]
}

export interface SignConfig {
  scheme: 'ultravox' | 'standard-webhooks'
  /** At least one. */
  secrets: Secret[]
}

export interface SlackTargetConfig extends Pacing, ConnectionConfig {
  type: 'slack'
  webhookUrl: Secret
  /** A template; null with no blocks means the default message of the event. */
  text: string | null
  /** Block Kit, with templates in its strings. */
  blocks: unknown[] | null
  nulls: Nulls
}

export interface ExecTargetConfig extends Pacing {
  type: 'exec'
  /** The absolute path of the program, then its arguments. */
  command: [string, ...string[]]
  env: Record<string, Secret>
  passEnv: string[]
  /** Null: as the relay itself. `home` is null where nobody knows. */
  runAs: { uid: number; gid: number; home: string | null } | null
}

export interface RouteConfig {
  /** For people; null where it has none. */
  name: string | null
  /** Patterns as in `domain/event-pattern.ts`. */
  events: string[]
  /** Names of sources; null: events of every source. */
  sources: string[] | null
  /** A JSONata condition. */
  when: string | null
  to: string[]
  /** Those in `when`. */
  referenced: ReferencedSecrets
}
