import type { Secret } from '../domain/secret.ts'
import type { Config, WebhookConfig } from './config.ts'

/** The webhook that is to exist at the provider, with the secrets of its source; null where none is configured. */
export function wantedWebhook({ ultravox, sources }: Config): (WebhookConfig & { secrets: readonly Secret[] }) | null {
  const webhook = ultravox?.webhook ?? null
  if (webhook === null) return null
  const source = sources[webhook.source]
  return { ...webhook, secrets: source?.scheme === 'ultravox' ? source.secrets : [] }
}

/** The source whose events are looked for at the provider, and whose webhook is watched; null where none is. */
export function watchedSource({ ultravox }: Config): string | null {
  return ultravox?.reconcile?.source ?? ultravox?.webhook?.source ?? null
}
