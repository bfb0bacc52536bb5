import type { RetryPolicy } from '../domain/backoff.ts'
import type { Secret } from '../domain/secret.ts'

/** The configuration as the relay uses it: references resolved, defaults filled in, durations in milliseconds. */
export interface Config {
  /** Absolute. */
  file: string
  /** Of the file; relative paths in it start here. */
  directory: string
  server: ServerConfig
  /** `path` is absolute. */
  outbox: { path: string }
  sources: Record<string, SourceConfig>
  targets: Record<string, TargetConfig>
  routes: RouteConfig[]
}

export interface ServerConfig {
  /** `host` is a host name or an address, IPv6 without brackets. Port 0 takes any free one. */
  listen: { host: string; port: number }
  /** IP addresses and CIDRs. */
  trustProxy: string[]
  bodyLimitBytes: number
  rateLimit: { maxRefused: number; perMs: number }
  shutdownTimeoutMs: number
}

export type SourceConfig = UltravoxSourceConfig | NoneSourceConfig

export interface UltravoxSourceConfig {
  path: string
  scheme: 'ultravox'
  /** At least one. */
  secrets: Secret[]
  toleranceMs: number
}

export interface NoneSourceConfig {
  path: string
  scheme: 'none'
}

export type TargetConfig = HttpTargetConfig | SlackTargetConfig | ExecTargetConfig

/** What every target has. */
export interface Pacing {
  timeoutMs: number
  concurrency: number
  rateLimit: { max: number; perMs: number } | null
  retry: RetryPolicy
}

export interface HttpTargetConfig extends Pacing {
  type: 'http'
  url: Secret
  method: 'POST' | 'PUT' | 'PATCH'
  headers: Record<string, Secret>
  sign: SignConfig | null
  /** Statuses from 400 to 499 that are retried besides the usual ones. */
  retryOn: number[]
}

export interface SignConfig {
  scheme: 'ultravox' | 'standard-webhooks'
  /** At least one. */
  secrets: Secret[]
}

export interface SlackTargetConfig extends Pacing {
  type: 'slack'
  webhookUrl: Secret
  /** A template; null with no blocks means the default message of the event. */
  text: string | null
  /** Block Kit, with templates in its strings. */
  blocks: unknown[] | null
}

export interface ExecTargetConfig extends Pacing {
  type: 'exec'
  /** The absolute path of the program, then its arguments. */
  command: [string, ...string[]]
  env: Record<string, Secret>
  passEnv: string[]
}

export interface RouteConfig {
  /** Patterns as in `domain/event-pattern.ts`. */
  events: string[]
  /** A JSONata condition. */
  when: string | null
  to: string[]
}
