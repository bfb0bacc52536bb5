import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import type { Secret } from '../domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../domain/ultravox-signature.ts'

/** How deliveries are signed, so that a target can prove where they come from. */
export interface SignOptions {
  readonly scheme: 'ultravox' | 'standard-webhooks'
  /** More than one while they are being changed: the receiver needs to know only one of them. */
  readonly secrets: readonly Secret[]
}

/** The signature headers (name, value, …) of one attempt at `now`. */
export type Signer = (eventId: string, body: Uint8Array, now: number) => string[]

export function createSigner({ scheme, secrets }: SignOptions): Signer {
  return scheme === 'ultravox' ? ultravoxSigner(secrets) : standardWebhooksSigner(secrets)
}

/** As the provider signs its webhooks, so that a receiver written for those works behind the relay unchanged. */
function ultravoxSigner(secrets: readonly Secret[]): Signer {
  const keys = secrets.map(ultravoxKey)
  return (_, body, now) => ultravoxHeaders(keys, body, now)
}

/** https://www.standardwebhooks.com: version 1, symmetric keys. */
function standardWebhooksSigner(secrets: readonly Secret[]): Signer {
  const keys = secrets.map(standardWebhooksKey)
  return (eventId, body, now) => {
    const timestamp = String(Math.floor(now / 1000))
    const signatures = keys.map(
      (key) => `v1,${createHmac('sha256', key).update(`${eventId}.${timestamp}.`).update(body).digest('base64')}`,
    )
    return ['webhook-timestamp', timestamp, 'webhook-signature', signatures.join(' ')]
  }
}

function standardWebhooksKey(secret: Secret): KeyObject {
  const bytes = Buffer.from(secret.reveal().replace(/^whsec_/, ''), 'base64')
  // An empty key would sign, and anybody could sign the same.
  if (bytes.length === 0) throw new Error('a standard-webhooks secret is "whsec_" followed by base64')
  return createSecretKey(bytes)
}
