import { dirname } from 'node:path'
import type { Config, Pacing, SourceConfig, TargetConfig } from './config.ts'

/**
 * What of a configuration the daemon puts on record for the commands, for when its file is no longer valid. Nothing in it can be
 * a secret: how targets are paced, and where sources are, but no URL, header, template, program or condition.
 */
interface ConfigOnRecord {
  readonly server: Pick<Config['server'], 'listen' | 'shutdownTimeoutMs'>
  readonly outbox: Omit<Config['outbox'], 'path'>
  readonly delivery: Config['delivery']
  readonly sources: Readonly<Record<string, Pick<SourceConfig, 'scheme' | 'path' | 'account' | 'expectWithinMs'>>>
  readonly targets: Readonly<Record<string, Pick<TargetConfig, (typeof ON_RECORD)[number]>>>
}

const ON_RECORD = [
  'type',
  'attach',
  'timeoutMs',
  'concurrency',
  'rateLimit',
  'breaker',
  'ordered',
  'holdOnDead',
  'paused',
  'retry',
] as const satisfies readonly ('type' | keyof Pacing)[]

export function configOnRecord({ server, outbox, delivery, sources, targets }: Config): object {
  const { path: _, ...kept } = outbox
  return {
    server: { listen: server.listen, shutdownTimeoutMs: server.shutdownTimeoutMs },
    outbox: kept,
    delivery,
    sources: mapped(sources, ({ scheme, path, account, expectWithinMs }) => ({
      scheme,
      path,
      account,
      expectWithinMs,
    })),
    targets: mapped(targets, (target) => Object.fromEntries(ON_RECORD.map((key) => [key, target[key]]))),
  } satisfies Record<keyof ConfigOnRecord, object>
}

/**
 * A configuration for commands that only work on the outbox at `outboxPath`. What is not on record is missing: targets have no
 * address and sources no secrets. `record`: as `configOnRecord` has made it, or null where no daemon has.
 */
export function configFromRecord(record: unknown, file: string, outboxPath: string): Config {
  const { server, outbox, delivery, sources, targets } = (record ?? NOTHING) as ConfigOnRecord
  return {
    file,
    directory: dirname(file),
    server: { ...server, tls: null },
    outbox: { ...outbox, path: outboxPath },
    delivery,
    sources: mapped(sources, (source) => ({ ...source, secrets: [], secretsFile: null })),
    targets,
    routes: [],
    ultravox: [],
    log: { level: 'info' },
    admin: null,
    tracing: null,
  } as unknown as Config
}

const NOTHING: ConfigOnRecord = {
  server: { listen: { host: '127.0.0.1', port: 8080 }, shutdownTimeoutMs: 0 },
  outbox: {
    createIfMissing: false,
    reserveBytes: 0,
    maxSizeBytes: null,
    retention: { deliveredMs: 0, deadMs: 0, rejectionsMs: 0, keysMs: 0 },
  },
  delivery: { alertAfterMs: Number.MAX_SAFE_INTEGER },
  sources: {},
  targets: {},
}

function mapped<T, U>(all: Readonly<Record<string, T>>, map: (each: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(all).map(([name, each]) => [name, map(each)]))
}
