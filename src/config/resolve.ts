import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { RetryPolicy } from '../domain/backoff.ts'
import type { Config, Pacing, ServerConfig, SourceConfig, TargetConfig } from './config.ts'
import { findExecutable } from './executable.ts'
import type { retrySchema, targetRetrySchema } from './schema/retry-schema.ts'
import type { RelayFile } from './schema.ts'

/** Where a source is found that does not say where. */
export function defaultSourcePath(name: string): string {
  return `/webhooks/${name}`
}

/** Turns a valid, checked file into what the relay uses. `file` is absolute. */
export function resolveConfig(content: RelayFile, file: string, env: NodeJS.ProcessEnv): Config {
  const directory = dirname(file)
  return {
    file,
    directory,
    server: serverConfig(content.server),
    outbox: { path: resolve(directory, content.outbox.path) },
    sources: mapValues(content.sources, sourceConfig),
    targets: mapValues(content.targets, (target) => targetConfig(target, content.retry, directory, env)),
    routes: content.routes.map(({ events, when, to }) => ({ events, when: when ?? null, to })),
  }
}

function serverConfig({
  listen,
  trustProxy,
  bodyLimit,
  rateLimit,
  shutdownTimeout,
}: RelayFile['server']): ServerConfig {
  return {
    listen,
    trustProxy,
    bodyLimitBytes: bodyLimit,
    rateLimit: { maxRefused: rateLimit.maxRefused, perMs: rateLimit.per },
    shutdownTimeoutMs: shutdownTimeout,
  }
}

function sourceConfig(source: RelayFile['sources'][string], name: string): SourceConfig {
  const path = source.path ?? defaultSourcePath(name)
  if (source.scheme === 'none') return { path, scheme: 'none' }
  return { path, scheme: 'ultravox', secrets: source.secrets, toleranceMs: source.tolerance }
}

function targetConfig(
  target: RelayFile['targets'][string],
  retry: z.output<typeof retrySchema>,
  directory: string,
  env: NodeJS.ProcessEnv,
): TargetConfig {
  const pacing: Pacing = {
    timeoutMs: target.timeout,
    concurrency: target.concurrency,
    rateLimit: target.rateLimit === undefined ? null : { max: target.rateLimit.max, perMs: target.rateLimit.per },
    retry: retryPolicy(retry, target.retry ?? {}),
  }
  switch (target.type) {
    case 'http': {
      const { type, url, method, headers, sign, retryOn } = target
      return { type, url, method, headers, sign: sign ?? null, retryOn, ...pacing }
    }
    case 'slack': {
      const { type, webhookUrl, text, blocks } = target
      return { type, webhookUrl, text: text ?? null, blocks: blocks ?? null, ...pacing }
    }
    case 'exec': {
      const { type, env: variables, passEnv } = target
      return { type, command: commandOf(target.command, directory, env), env: variables, passEnv, ...pacing }
    }
  }
}

/** The program by its absolute path, so that what was checked is what will run, whatever PATH it is run with. */
function commandOf(
  [program = '', ...rest]: readonly string[],
  directory: string,
  env: NodeJS.ProcessEnv,
): [string, ...string[]] {
  const found = findExecutable(program, directory, env.PATH)
  return ['path' in found ? found.path : program, ...rest]
}

function retryPolicy(global: z.output<typeof retrySchema>, own: z.output<typeof targetRetrySchema>): RetryPolicy {
  return {
    initialDelayMs: own.initialDelay ?? global.initialDelay,
    factor: own.factor ?? global.factor,
    maxDelayMs: own.maxDelay ?? global.maxDelay,
    jitter: own.jitter ?? global.jitter,
    giveUpAfterMs: own.giveUpAfter ?? global.giveUpAfter,
    maxAttempts: own.maxAttempts ?? global.maxAttempts ?? null,
  }
}

function mapValues<In, Out>(record: Record<string, In>, convert: (value: In, key: string) => Out): Record<string, Out> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, convert(value, key)]))
}
