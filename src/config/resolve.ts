import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { RetryPolicy } from '../domain/backoff.ts'
import { Secret } from '../domain/secret.ts'
import { findGroup, findUser } from './accounts.ts'
import type {
  AttachConfig,
  Config,
  ExecTargetConfig,
  OutboxConfig,
  Pacing,
  ReconcileConfig,
  ReferencedSecrets,
  RouteConfig,
  ServerConfig,
  SourceConfig,
  TargetConfig,
  TracingConfig,
  UltravoxConfig,
} from './config.ts'
import { findExecutable } from './executable.ts'
import { defaultAccount } from './provider-accounts.ts'
import type { Referenced } from './references.ts'
import { type FileTarget, httpTarget, slackTarget, tlsConfig } from './resolve-http.ts'
import type { retrySchema, targetRetrySchema } from './schema/retry-schema.ts'
import { MISSING } from './schema/scalars.ts'
import type { ultravoxSchema } from './schema/ultravox-schema.ts'
import type { RelayFile } from './schema.ts'
import type { SecretsFiles } from './secrets-files.ts'
import { serverTls } from './server-tls.ts'

type AccountInFile = z.output<typeof ultravoxSchema>

/** Where a source is found that does not say where. */
export function defaultSourcePath(name: string): string {
  return `/webhooks/${name}`
}

/** Turns a valid, checked file into what the relay uses. `file` is absolute. */
export function resolveConfig(
  content: RelayFile,
  file: string,
  env: NodeJS.ProcessEnv,
  secretsFiles: SecretsFiles['secrets'],
  referenced: readonly Referenced[],
): Config {
  const directory = dirname(file)
  const accounts = content.ultravox === undefined ? [] : [content.ultravox].flat()
  const ultravox = accounts.map((account) => ultravoxConfig(account, directory))
  const account = defaultAccount(ultravox)
  return {
    file,
    directory,
    server: serverConfig(content.server, directory),
    outbox: outboxConfig(content.outbox, directory),
    delivery: { alertAfterMs: content.delivery.alertAfter },
    sources: mapValues(content.sources, (source, name) =>
      sourceConfig(source, name, directory, account, secretsFiles.get(name)),
    ),
    targets: mapValues(content.targets, (target, name) =>
      targetConfig(target, content.retry, directory, env, referencedBy(name, target, referenced)),
    ),
    routes: content.routes.map((route, index) => ({
      ...routeConfig(route),
      referenced: referencedAt(
        referenced,
        ([section, at, key]) => section === 'routes' && at === index && key === 'when',
      ),
    })),
    ultravox,
    log: content.log,
    admin: content.admin === undefined ? null : adminConfig(content.admin, directory),
    tracing: content.tracing === undefined ? null : tracingConfig(content.tracing),
  }
}

/** Keys of targets whose values are sent somewhere, or run. Others hold no more than words such as `http`. */
const SENT: ReadonlySet<unknown> = new Set('url webhookUrl proxy headers body text blocks sign command env'.split(' '))

const URLS: ReadonlySet<unknown> = new Set(['url', 'webhookUrl', 'proxy'])

/** Not what is in the origin of a URL: errors say which host does not answer. */
function referencedBy(
  name: string,
  target: RelayFile['targets'][string],
  all: readonly Referenced[],
): ReferencedSecrets {
  const urls = Object.entries(target).flatMap(([key, value]) => (URLS.has(key) && value instanceof Secret ? value : []))
  const origins = urls.flatMap((url) =>
    url.isMissing || !URL.canParse(url.reveal()) ? [] : new URL(url.reveal()).origin,
  )
  return referencedAt(all, ([section, of, key], text) => {
    if (section !== 'targets' || of !== name || !SENT.has(key)) return false
    return !URLS.has(key) || !origins.some((origin) => origin.includes(text))
  })
}

function referencedAt(
  all: readonly Referenced[],
  isOwn: (path: Referenced['path'], text: string) => boolean,
): ReferencedSecrets {
  const own = all.filter(({ path, text }) => isOwn(path, text))
  const texts = (isFallback: boolean) => own.filter((each) => each.isFallback === isFallback).map(({ text }) => text)
  const secrets = (found: readonly string[]) => [...new Set(found)].map((text) => new Secret(text))
  return { values: secrets(texts(false)), fallbacks: secrets(texts(true)) }
}

function routeConfig({ name, events, source, when, to }: RelayFile['routes'][number]): Omit<RouteConfig, 'referenced'> {
  const sources = source === undefined ? null : [source].flat()
  return { name: name ?? null, events, sources, when: when ?? null, to }
}

function adminConfig({ listen, token, hosts, socketMode }: NonNullable<RelayFile['admin']>, directory: string) {
  return {
    listen: 'socketPath' in listen ? { socketPath: resolve(directory, listen.socketPath) } : listen,
    token: token ?? null,
    hosts,
    socketMode: Number.parseInt(socketMode, 8),
  }
}

function tracingConfig({ otlp, ...rest }: NonNullable<RelayFile['tracing']>): TracingConfig {
  return { url: otlp.replace(/(\/v1\/traces)?\/*$/, '/v1/traces'), ...rest }
}

function outboxConfig(
  { path, createIfMissing, reserve, retention, maxSize }: RelayFile['outbox'],
  directory: string,
): OutboxConfig {
  const { delivered, dead, rejections, keys } = retention
  return {
    path: resolve(directory, path),
    createIfMissing,
    reserveBytes: reserve,
    retention: { deliveredMs: delivered, deadMs: dead, rejectionsMs: rejections, keysMs: keys },
    maxSizeBytes: maxSize ?? null,
  }
}

function ultravoxConfig(inFile: AccountInFile, directory: string): UltravoxConfig {
  const { account, apiKey, baseUrl, proxy, tls, requestsPerSecond, webhook, reconcile, enrich } = inFile
  return {
    account,
    apiKey,
    baseUrl: baseUrl.replace(/\/+$/, ''),
    proxy: proxy ?? null,
    tls: tls === undefined ? null : tlsConfig({ ...tls, insecure: false }, directory),
    requestsPerSecond,
    webhook: webhook ?? null,
    reconcile: reconcile === undefined ? null : reconcileConfig(reconcile, webhook?.source),
    enrich: {
      transcript: enrich.transcript,
      recording: enrich.recording,
      maxTranscriptBytes: enrich.maxTranscript,
      maxRecordingBytes: enrich.maxRecording,
      timeoutMs: enrich.timeout,
      maxWaitMs: enrich.maxWait,
    },
  }
}

function reconcileConfig(
  { every, lookback, grace, source }: NonNullable<AccountInFile['reconcile']>,
  webhookSource = '',
): ReconcileConfig {
  return { everyMs: every, lookbackMs: lookback, graceMs: grace, source: source ?? webhookSource }
}

function serverConfig(
  {
    listen,
    trustProxy,
    bodyLimit,
    maxHeaderSize,
    rateLimit,
    tls,
    keepAliveTimeout,
    shutdownTimeout,
  }: RelayFile['server'],
  directory: string,
): ServerConfig {
  return {
    listen,
    trustProxy,
    bodyLimitBytes: bodyLimit,
    maxHeaderSizeBytes: maxHeaderSize,
    rateLimit: { maxRefused: rateLimit.maxRefused, perMs: rateLimit.per },
    tls: tls === undefined ? null : serverTls(tls, directory),
    keepAliveTimeoutMs: keepAliveTimeout,
    shutdownTimeoutMs: shutdownTimeout,
  }
}

function sourceConfig(
  source: RelayFile['sources'][string],
  name: string,
  directory: string,
  defaultAccount: string,
  inFile: readonly Secret[] = [],
): SourceConfig {
  const basis = { path: source.path ?? defaultSourcePath(name), expectWithinMs: source.expectWithin ?? null }
  // Sources that verify nothing share no identity: anyone could record an event before the genuine one arrives.
  if (source.scheme === 'none') return { ...basis, account: `source:${name}`, scheme: 'none' }
  const account = source.account ?? defaultAccount
  const written = source.secretsFile === MISSING ? undefined : source.secretsFile
  const secretsFile = written === undefined ? null : resolve(directory, written)
  const secrets = [...(source.secrets ?? []), ...inFile]
  return { ...basis, account, scheme: 'ultravox', secrets, secretsFile, toleranceMs: source.tolerance }
}

function targetConfig(
  target: RelayFile['targets'][string],
  retry: z.output<typeof retrySchema>,
  directory: string,
  env: NodeJS.ProcessEnv,
  referenced: ReferencedSecrets,
): TargetConfig {
  const pacing: Pacing = {
    referenced,
    attach: attachConfig(target),
    timeoutMs: target.timeout,
    concurrency: target.concurrency,
    rateLimit: target.rateLimit === undefined ? null : { max: target.rateLimit.max, perMs: target.rateLimit.per },
    breaker: {
      failures: target.breaker.failures,
      cooldownMs: target.breaker.cooldown,
      maxCooldownMs: target.breaker.maxCooldown,
    },
    ordered: target.ordered !== undefined,
    holdOnDead: target.onDead === 'hold',
    paused: target.paused,
    retry: retryPolicy(retry, target.retry ?? {}),
  }
  switch (target.type) {
    case 'http': {
      return { ...httpTarget(target, directory), ...pacing }
    }
    case 'slack': {
      return { ...slackTarget(target, directory), ...pacing }
    }
    case 'exec': {
      const { type, env: variables, passEnv } = target
      const command = commandOf(target.command, directory, env)
      return { type, command, env: variables, passEnv, runAs: runAs(target), ...pacing }
    }
  }
}

function attachConfig(target: RelayFile['targets'][string]): AttachConfig | null {
  const asked: readonly string[] = target.attach
  if (asked.length === 0) return null
  const recordingAs = 'recordingAs' in target ? target.recordingAs : 'url'
  return { transcript: asked.includes('transcript'), recording: asked.includes('recording') ? recordingAs : null }
}

/** The user and group that were found when this was checked. */
function runAs({ user, group }: FileTarget<'exec'>): ExecTargetConfig['runAs'] {
  const found = user === undefined ? undefined : findUser(user)
  const gid = group === undefined ? found?.gid : findGroup(group)
  return found === undefined || gid === undefined || gid === null ? null : { uid: found.uid, gid, home: found.home }
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
    timeouts: own.timeouts ?? global.timeouts ?? null,
  }
}

function mapValues<In, Out>(record: Record<string, In>, convert: (value: In, key: string) => Out): Record<string, Out> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, convert(value, key)]))
}
