import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { Config } from './config.ts'

/** Fingerprints of the secrets that each source goes by. */
export function knownSecrets({ sources }: Config): Record<string, string[]> {
  const verified = Object.entries(sources).flatMap(([name, source]): [string, string[]][] =>
    source.scheme === 'none' ? [] : [[name, source.secrets.map(secretFingerprint)]],
  )
  return Object.fromEntries(verified)
}
