import type { Config } from '../config/config.ts'
import { didYouMean } from '../config/suggestion.ts'
import { RelayError } from '../domain/errors.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'
import type { OutboxOperator } from '../outbox/operator.ts'

/** Returns a configured target. Throws `unknown_name` with the name that was perhaps meant. */
export function configuredTarget(config: Config, name: string) {
  if (Object.hasOwn(config.targets, name)) return config.targets[name]!
  throw unknownTarget(name, Object.keys(config.targets))
}

export function unknownTarget(name: string, known: readonly string[]): RelayError {
  return unknownName('target', name, known)
}

/** The names that a filter or an action can ask for. */
export interface AskedNames {
  readonly target?: string | undefined
  readonly failedAt?: string | undefined
  readonly source?: string | undefined
}

/**
 * Throws `unknown_name` for a target or a source that is neither configured nor on record: a slip in a filter would pass for
 * an empty answer. Only names that are not configured cost a query.
 */
export async function assertKnownNames(
  operator: Pick<OutboxOperator, 'isOnRecord'>,
  { targets, sources }: Config,
  { target, failedAt, source }: AskedNames,
): Promise<void> {
  for (const name of [target, failedAt]) {
    if (name === undefined || Object.hasOwn(targets, name) || (await operator.isOnRecord('target', name))) continue
    throw unknownTarget(name, Object.keys(targets))
  }
  if (source === undefined || source === RELAY_SOURCE || Object.hasOwn(sources, source)) return
  if (!(await operator.isOnRecord('source', source))) throw unknownName('source', source, Object.keys(sources))
}

export function unknownName(what: 'target' | 'source', name: string, known: readonly string[]): RelayError {
  const there = known.length === 0 ? 'none' : known.join(', ')
  return new RelayError('unknown_name', `there is no ${what} "${name}"${didYouMean(name, known)}; there is: ${there}`)
}
