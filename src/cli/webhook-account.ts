import { randomBytes } from 'node:crypto'
import type { Config, UltravoxSourceConfig, WebhookConfig } from '../config/config.ts'
import { ConfigError, type Problem } from '../config/problem.ts'
import { readSecretsFile } from '../config/secrets-file.ts'
import { RelayError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import type { UltravoxClient, Webhook } from '../ultravox/client.ts'
import { shownUrl } from '../ultravox/shown-url.ts'
import { type WantedWebhook, webhooksInPlace } from '../ultravox/webhook-difference.ts'
import { configFile, loadWithoutSecrets } from './config-file.ts'
import { Interrupted, interruptible } from './interruption.ts'
import { note } from './printing.ts'
import { chosenAccount, withClient } from './provider-client.ts'
import { isOfSecrets } from './source-secrets.ts'

const HOW_TO_SAY = `write it there, as in
  ultravox:
    apiKey: "\${ULTRAVOX_API_KEY}"
    webhook: { url: https://relay.example.com/webhooks/ultravox, source: ultravox }`

/** Characters of an id by which it may be meant. */
const LEAST_OF_ID = 8

/** The provider's side of a configuration. */
export interface Account {
  readonly config: Config
  readonly client: UltravoxClient
  /** Null where no webhook is configured. */
  readonly configured: ConfiguredWebhook | null
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
}

/** The webhook that is to exist, and the source that it leads to. */
export interface ConfiguredWebhook {
  readonly wanted: WantedWebhook
  readonly sourceName: string
  readonly source: UltravoxSourceConfig
}

/**
 * Loads a configuration and opens the provider's API for a command. Programs and certificates need not be there, nor the
 * secrets file; the API key must. `secrets`: whether the source's other secrets must be there too, so that none is taken
 * for one that does not exist. Throws `config_invalid`.
 */
export async function withAccount(
  options: { readonly config?: string; readonly account?: string },
  secrets: 'needed' | 'not needed',
  use: (account: Account) => Promise<void>,
): Promise<void> {
  const file = configFile(options.config)
  const { config, missing } = loadWithoutSecrets(file)
  if (config.ultravox.length === 0) throw notSaid(`${file} has no ultravox section`)
  const ultravox = chosenAccount(config, options.account)
  const { webhook } = ultravox
  // The path of the account in the file, whether it is the only one or one of a list.
  const place = new RegExp(`^ultravox(\\[${config.ultravox.indexOf(ultravox)}\\])?\\.`)
  const keyOf = ({ path }: Problem) => (place.test(path) ? path.replace(place, '') : '')
  refuseMissing(missing, (problem) => ['apiKey', 'baseUrl'].includes(keyOf(problem)))
  refuseMissing(missing, (problem) => keyOf(problem).startsWith('webhook.'))
  const configured = webhook === null ? null : configuredWebhook(config, webhook)
  if (configured !== null && secrets === 'needed') refuseMissingSecrets(configured, missing)
  return interruptible(async (signal) => {
    try {
      await withClient(ultravox, (client) => use({ config, client, configured, signal }), signal)
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error
      note('interrupted: run it again to see what is left to do')
      process.exitCode = 1
    }
  })
}

/** Throws `config_invalid` where no webhook is configured. */
export function needConfigured({ config, configured }: Account): ConfiguredWebhook {
  if (configured !== null) return configured
  throw notSaid(`${config.file} does not say which webhook is to exist at Ultravox`)
}

/**
 * The one registered webhook to the configured URL, or null. Throws `usage` where there are several, with `howToChoose`
 * one of them.
 */
export function theConfigured(
  wanted: WantedWebhook,
  registered: readonly Webhook[],
  howToChoose: string,
): Webhook | null {
  const candidates = webhooksInPlace(wanted, registered)
  if (candidates.length <= 1) return candidates[0] ?? null
  const ids = candidates.map(({ webhookId }) => webhookId).join(', ')
  throw new RelayError('usage', `several webhooks lead to ${shownUrl(wanted.url)} (${ids}): say which ${howToChoose}`)
}

/** The one that `id` says, wherever it leads, or else the one to the configured URL, or null. Throws as these do. */
export function chosenOrConfigured(
  wanted: WantedWebhook,
  registered: readonly Webhook[],
  id: string | undefined,
): Webhook | null {
  return id === undefined ? theConfigured(wanted, registered, 'with --id') : webhookById(registered, id)
}

/** By its id, or the beginning of it where that is enough, as tables show it. Throws `not_found`. */
export function webhookById(registered: readonly Webhook[], id: string): Webhook {
  const whole = registered.filter(({ webhookId }) => webhookId === id)
  const begun = id.length < LEAST_OF_ID ? [] : registered.filter(({ webhookId }) => webhookId.startsWith(id))
  const [found, ...more] = whole.length > 0 ? whole : begun
  if (found !== undefined && more.length === 0) return found
  if (more.length > 0)
    throw new RelayError('usage', `the ids of ${more.length + 1} webhooks begin with ${id}: write more of it`)
  throw new RelayError('not_found', `Ultravox has no webhook ${id}: see webhooks list`)
}

/** 256 bits, in characters that need no quotes anywhere. */
export function newSecret(): Secret {
  return new Secret(`whsec_${randomBytes(32).toString('base64url')}`)
}

function configuredWebhook(config: Config, { url, agentId, events, source: sourceName }: WebhookConfig) {
  const source = config.sources[sourceName]
  // Checked when the configuration was loaded.
  if (source?.scheme !== 'ultravox') throw notSaid('ultravox.webhook.source is no source with scheme: ultravox')
  const secrets = source.secrets.filter(({ isMissing }) => !isMissing)
  return { wanted: { url, agentId, events, secrets }, sourceName, source }
}

/** A secrets file that is not there yet is none of them, nor an empty one: there is nothing in it that we would not know of. */
function refuseMissingSecrets({ sourceName, source }: ConfiguredWebhook, missing: readonly Problem[]): void {
  if (source.secretsFile !== null) readSecretsFile(source.secretsFile)
  refuseMissing(missing, ({ path }) => {
    if (!isOfSecrets(path, sourceName)) return false
    return source.secretsFile === null || path !== `sources.${sourceName}.secretsFile`
  })
}

function refuseMissing(missing: readonly Problem[], isNeeded: (problem: Problem) => boolean): void {
  const needed = missing.filter(isNeeded)
  if (needed.length > 0) throw new ConfigError(needed)
}

function notSaid(what: string): RelayError {
  return new RelayError('config_invalid', `${what}: ${HOW_TO_SAY}`)
}
