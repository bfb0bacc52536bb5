import type { Secret } from '../domain/secret.ts'
import type { Config, UltravoxConfig, WebhookConfig } from './config.ts'

/** The account of sources and of an `ultravox` section that name none. */
export const DEFAULT_ACCOUNT = 'default'

/** The account that sources belong to that name none: that of the `ultravox` section where there is exactly one. */
export function defaultAccount(accounts: readonly { readonly account: string }[]): string {
  return accounts.length === 1 ? accounts[0]!.account : DEFAULT_ACCOUNT
}

/** The account of a source, also of one that is no longer configured. */
export function accountOfSource({ sources, ultravox }: Config, source: string): string {
  return Object.hasOwn(sources, source) ? sources[source]!.account : defaultAccount(ultravox)
}

/** The webhook that should exist at the provider, with the secrets of its source; null where none is configured. */
export function wantedWebhook(
  { sources }: Pick<Config, 'sources'>,
  { webhook }: UltravoxConfig,
): (WebhookConfig & { secrets: readonly Secret[] }) | null {
  if (webhook === null) return null
  const source = sources[webhook.source]
  return { ...webhook, secrets: source?.scheme === 'ultravox' ? source.secrets : [] }
}

/** The source whose events are reconciled and whose webhook is monitored; null for an account without either. */
export function watchedSource({ reconcile, webhook }: UltravoxConfig): string | null {
  return reconcile?.source ?? webhook?.source ?? null
}
