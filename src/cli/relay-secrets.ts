import { existsSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'
import { reloadDaemon } from '../operations/reload.ts'
import type { OutboxOperator, SecretUse } from '../outbox/operator.ts'
import { withOutbox } from './open-outbox.ts'

/**
 * Fingerprints of the secrets that the running relay takes for a source, as it says itself; null where none runs, which
 * then reads them when it starts.
 */
export function secretsOfRelay(config: Config, source: string): Promise<readonly string[] | null> {
  return withOutboxIfAny(config, null, (operator) => secretsOf(operator, source))
}

/**
 * Has the running relay read its configuration anew if the secrets that it takes for a source are not as they should be.
 * False where none runs. Throws as a reload does, and `usage` where the relay still goes by others afterwards.
 */
export function bringToRelay(
  config: Config,
  source: string,
  isRight: (fingerprints: readonly string[]) => boolean,
): Promise<boolean> {
  return withOutboxIfAny(config, false, async (operator) => {
    const before = await secretsOf(operator, source)
    if (before === null) return false
    if (isRight(before)) return true
    const { configFile } = await reloadDaemon(operator)
    if (isRight((await secretsOf(operator, source)) ?? [])) return true
    const message = `the running relay works with ${configFile}, which has other secrets for ${source}`
    throw new RelayError('usage', `${message} than ${config.file}: name that one with --config`)
  })
}

/** When the secrets of a source signed genuine events; nothing where no relay ever ran. */
export function secretUses(config: Config, source: string): Promise<readonly SecretUse[]> {
  return withOutboxIfAny<readonly SecretUse[]>(config, [], (operator) => operator.secretUses(source))
}

async function secretsOf(operator: OutboxOperator, source: string): Promise<readonly string[] | null> {
  const daemon = await operator.daemon()
  return daemon?.running === true ? (daemon.secrets[source] ?? []) : null
}

async function withOutboxIfAny<T>(
  config: Config,
  otherwise: T,
  use: (operator: OutboxOperator) => Promise<T>,
): Promise<T> {
  return existsSync(config.outbox.path) ? withOutbox(config.outbox.path, use) : otherwise
}
