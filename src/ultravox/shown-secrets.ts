import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'

/** What services write in the place of a secret: `••••`, `****1a2b`, `whsec_1a2b...`, `[redacted]`. */
const MASKED = /^$|\*{3}|[•●…]|\.{3}|^[xX]{4,}|redacted|\bmasked\b|\bhidden\b/i

/**
 * Whether Ultravox shows a webhook's secrets as they are. `known`: ours, which are no masks whatever they look like.
 * Where it does not, what it signs with is unknown, and to send back what it shows would register the mask.
 */
export function hidesSecrets({ secrets }: { readonly secrets: readonly Secret[] }, known: readonly string[]): boolean {
  return (
    secrets.length === 0 ||
    secrets.some((secret) => MASKED.test(secret.reveal()) && !known.includes(secretFingerprint(secret)))
  )
}

/** Whether all of these secrets are among those that a webhook is shown with. Others may be there too. */
export function showsAll(webhook: { readonly secrets: readonly Secret[] }, sent: readonly Secret[]): boolean {
  const shown = new Set(webhook.secrets.map((secret) => secret.reveal()))
  return sent.every((secret) => shown.has(secret.reveal()))
}

/** The fingerprints of secrets, for messages. */
export function fingerprints(secrets: readonly Secret[]): string {
  return secrets.map(secretFingerprint).join(' ') || 'none'
}
