import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'
import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { Webhook } from '../ultravox/client.ts'
import { shownUrl } from '../ultravox/shown-url.ts'
import { webhooksInPlace } from '../ultravox/webhook-difference.ts'
import { byTime, withSafeFailures } from '../ultravox/webhook-failures.ts'
import { configOption } from './config-file.ts'
import { ago, isoOrNull } from './instant.ts'
import { examples, jsonOption, note, print, shownTable } from './printing.ts'
import { accountOption } from './provider-client.ts'
import { cell } from './table.ts'
import { withAccount } from './webhook-account.ts'
import { deleteCommand } from './webhooks-delete.ts'
import { ensureCommand } from './webhooks-ensure.ts'
import { rotateSecretCommand } from './webhooks-rotate-secret.ts'

/** The webhooks at Ultravox. Works whether the relay runs or not. */
export function webhooksCommand(): Command {
  return new Command('webhooks')
    .description('look at the webhooks registered at Ultravox, make them as configured, rotate their secret')
    .addCommand(listCommand())
    .addCommand(ensureCommand())
    .addCommand(deleteCommand())
    .addCommand(rotateSecretCommand())
}

function listCommand(): Command {
  return new Command('list')
    .description("list the account's webhooks; * marks the configured one")
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addHelpText('after', examples('webhooks list', 'webhooks list --json'))
    .action((options: { config?: string; account?: string; json?: boolean }) =>
      withAccount(options, 'not needed', async ({ config, client, configured }) => {
        const registered = await client.listWebhooks()
        const candidates = configured === null ? [] : webhooksInPlace(configured.wanted, registered)
        const secrets = secretsOf(config)
        const ours = secrets.map(secretFingerprint)
        const listed = registered.map((webhook) =>
          listedWebhook(withSafeFailures(webhook, secrets), candidates.includes(webhook), ours),
        )
        const text = listed.length === 0 ? '' : tableOf(listed, systemClock.now())
        print(options.json, { webhooks: listed.map(documentOf) }, text)
        if (listed.length === 0) note('no webhooks')
      }),
    )
}

type ListedWebhook = ReturnType<typeof listedWebhook>

function listedWebhook(webhook: Webhook, configured: boolean, ours: readonly string[]) {
  const fingerprints = webhook.secrets.map(secretFingerprint)
  return {
    ...webhook,
    configured,
    url: shownUrl(webhook.url),
    secrets: fingerprints.map((fingerprint) => ({ fingerprint, ours: ours.includes(fingerprint) })),
    failures: byTime(webhook),
  }
}

function documentOf({
  webhookId,
  configured,
  url,
  agentId,
  events,
  status,
  secrets,
  failures,
  created,
}: ListedWebhook) {
  const recentFailures = failures.map(({ at, failure }) => ({ at: isoOrNull(at), failure }))
  return { webhookId, configured, url, agentId, events, status, secrets, recentFailures, created: isoOrNull(created) }
}

function tableOf(webhooks: readonly ListedWebhook[], now: number): string {
  return shownTable(
    ['', 'ID', 'URL', 'AGENT', 'EVENTS', 'STATUS', 'SECRETS', 'LAST FAILURE'],
    webhooks.map((each) => {
      const last = each.failures.at(-1)
      return [
        each.configured ? '*' : '',
        each.webhookId,
        each.url,
        each.agentId ?? 'all',
        LIFECYCLE_EVENTS.every((event) => each.events.includes(event)) ? 'all' : each.events.join(','),
        cell(each.status, each.status === 'normal' ? 'green' : 'red'),
        secretsInWords(each),
        last === undefined
          ? ''
          : [`${each.failures.length}`, ago(last.at, now)].filter((part) => part !== '').join(', ') +
            `: ${last.failure}`,
      ]
    }),
  )
}

/** `2, ours 1a2b3c4d`: which of them the relay has. */
function secretsInWords({ secrets }: ListedWebhook): string {
  const ours = secrets.filter((secret) => secret.ours).map(({ fingerprint }) => fingerprint)
  if (secrets.length === 0) return 'not shown'
  return `${secrets.length}, ${ours.length === 0 ? 'none ours' : `ours ${ours.join(' ')}`}`
}

/** Of all the secrets that can be had here. */
function secretsOf({ sources }: Config): Secret[] {
  return Object.values(sources)
    .flatMap((source) => (source.scheme === 'none' ? [] : source.secrets))
    .filter(({ isMissing }) => !isMissing)
}
