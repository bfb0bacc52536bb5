import type { Config } from '../config/config.ts'
import { didYouMean } from '../config/suggestion.ts'
import { RelayError } from '../domain/errors.ts'

/** A configured target, or `not_found` with the name that was perhaps meant. */
export function configuredTarget(config: Config, name: string) {
  if (Object.hasOwn(config.targets, name)) return config.targets[name]!
  throw unknownTarget(name, Object.keys(config.targets))
}

export function unknownTarget(name: string, known: readonly string[]): RelayError {
  const there = known.length === 0 ? 'none' : known.join(', ')
  return new RelayError('not_found', `there is no target "${name}"${didYouMean(name, known)}; there is: ${there}`)
}
