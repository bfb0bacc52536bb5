import { resolve } from 'node:path'
import type { Config } from '../config/config.ts'
import { configFromRecord } from '../config/on-record.ts'
import { likelyOutboxPath } from '../config/outbox-path.ts'
import { ConfigError, formatProblem } from '../config/problem.ts'
import { iso } from '../documents/instants.ts'
import { RelayError } from '../domain/errors.ts'
import { configFile, loadWithoutSecrets } from './config-file.ts'
import { withOutbox } from './open-outbox.ts'
import { note } from './printing.ts'

/** Where the outbox is while the configuration cannot say so. */
const OUTBOX_VARIABLE = 'ULTRAVOX_RELAY_OUTBOX'

/**
 * The configuration for a command that only works on the outbox. Where the file is missing or invalid, it tells so on stderr and
 * goes by what the relay has put on record, which may still be running on it. Throws `ConfigError` where there is no outbox.
 */
export async function outboxConfig(asked: string | undefined): Promise<Config> {
  const file = configFile(asked)
  try {
    return loadWithoutSecrets(file).config
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return fromRecord(error, resolve(file))
  }
}

async function fromRecord(error: ConfigError, file: string): Promise<Config> {
  const { path, from } = outboxPath(file)
  try {
    const daemon = await withOutbox(path, (operator) => operator.daemon())
    const record = daemon?.configuration ?? null
    note(
      warning(error, path, from, record === null || daemon === null ? null : (daemon.reloadedAt ?? daemon.startedAt)),
    )
    return configFromRecord(record, file, path)
  } catch (problem) {
    if (problem instanceof RelayError && problem.code === 'outbox_unusable') throw error
    throw problem
  }
}

function outboxPath(file: string): { path: string; from: string } {
  const given = process.env[OUTBOX_VARIABLE]
  if (given !== undefined && given !== '') return { path: resolve(given), from: OUTBOX_VARIABLE }
  const { path, isDefault } = likelyOutboxPath(file, process.env)
  return { path, from: isDefault ? 'the default path' : 'outbox.path' }
}

function warning({ problems }: ConfigError, path: string, from: string, recordedAt: number | null): string {
  const [first, ...others] = problems
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  const known =
    recordedAt === null
      ? 'no relay has its targets on record'
      : `configuration as the relay loaded it at ${iso(recordedAt)}`
  return `warning: ${formatProblem(first!)}${more}; see ultravox-relay check. Using ${path} (${from}); ${known}`
}
