import { createHash } from 'node:crypto'
import type { Secret } from './secret.ts'

/** So that it is of no use against a table of hashes made for other ends. */
const PREFIX = 'ultravox-relay webhook secret '

/** Eight hex digits by which a secret can be named without being told. Throws where the secret is missing. */
export function secretFingerprint(secret: Secret): string {
  return createHash('sha256').update(PREFIX).update(secret.reveal()).digest('hex').slice(0, 8)
}
