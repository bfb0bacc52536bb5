import { Command, Option } from 'commander'
import { EXAMPLE_SECRET } from '../config/example-secret.ts'
import { addToSecretsFile } from '../config/secrets-file.ts'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { Webhook } from '../ultravox/client.ts'
import { ProviderError } from '../ultravox/provider-error.ts'
import { shownUrl } from '../ultravox/shown-url.ts'
import {
  newWebhookChanges,
  type WantedWebhook,
  type WebhookChange,
  webhookDifference,
  webhooksElsewhere,
  webhooksInPlace,
} from '../ultravox/webhook-difference.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { writeOut } from './output.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { accountOption } from './provider-client.ts'
import { bringToRelay, secretsOfRelay } from './relay-secrets.ts'
import { styled } from './style.ts'
import { oneLine } from './table.ts'
import {
  type Account,
  type ConfiguredWebhook,
  chosenOrConfigured,
  needConfigured,
  newSecret,
  withAccount,
} from './webhook-account.ts'

interface Options extends ConsentOptions {
  readonly config?: string
  readonly account?: string
  readonly json?: boolean
  readonly id?: string
}

/** What is to be done, as it is shown before. */
interface Plan {
  readonly action: 'create' | 'update' | 'none'
  /** Null: to be created. */
  readonly registered: Webhook | null
  readonly wanted: WantedWebhook
  /** Whether the secret has to be made first. */
  readonly freshSecret: boolean
  readonly changes: readonly WebhookChange[]
}

export function ensureCommand(): Command {
  const command = new Command('ensure')
    .description('create the configured webhook at Ultravox, or change what of it differs; nothing else is touched')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(new Option('--id <id>', 'which webhook it is, where several lead to the URL or it led elsewhere'))
  for (const option of consentOptions()) command.addOption(option)
  return command
    .addHelpText('after', examples('webhooks ensure --dry-run', 'webhooks ensure --yes'))
    .action((options: Options) => withAccount(options, 'needed', (account) => ensure(account, options)))
}

async function ensure(account: Account, options: Options): Promise<void> {
  const configured = needConfigured(account)
  const allRegistered = await account.client.listWebhooks()
  const plan = planFor(configured, allRegistered, options.id)
  const dryRun = options.dryRun === true
  const tell = (webhookId: string | null, text: string) => {
    const { action, changes } = plan
    print(options.json, { action, dryRun, webhookId, changes: changes.map((each) => shownChange(each, plan)) }, text)
  }
  if (plan.action === 'none') {
    await warnIfUnknown(account, configured, plan.registered!)
    return tell(plan.registered!.webhookId, `nothing to do: webhook ${plan.registered!.webhookId} is as configured\n`)
  }
  const shown = changesText(plan)
  if (options.json === true) note(shown)
  else writeOut(`${shown}\n`)
  if (plan.action === 'create') tellOfOthers(plan.wanted, allRegistered)
  if (dryRun) return tell(plan.registered?.webhookId ?? null, '')
  if (!(await confirm(`1 webhook will be ${done(plan)} at Ultravox`, options.yes))) return
  const webhook = await carryOut(account, configured, plan)
  tell(webhook.webhookId, `webhook ${webhook.webhookId} is ${done(plan)}\n`)
}

function planFor({ wanted: known }: ConfiguredWebhook, registered: readonly Webhook[], id: string | undefined): Plan {
  if (known.secrets.some((secret) => secret.reveal() === EXAMPLE_SECRET)) {
    throw new RelayError(
      'config_invalid',
      'the source has the example secret, which everybody knows: write one of your own',
    )
  }
  const freshSecret = known.secrets.length === 0
  const wanted = freshSecret ? { ...known, secrets: [newSecret()] } : known
  const found = chosenOrConfigured(wanted, registered, id)
  if (found === null)
    return { action: 'create', registered: null, wanted, freshSecret, changes: newWebhookChanges(wanted) }
  const { changes } = webhookDifference(wanted, found)
  return { action: changes.length === 0 ? 'none' : 'update', registered: found, wanted, freshSecret, changes }
}

/** The secret is on disk and, where it can be, with the relay before Ultravox signs with it. */
async function carryOut({ config, client }: Account, configured: ConfiguredWebhook, plan: Plan): Promise<Webhook> {
  const { sourceName, source } = configured
  const { wanted, registered } = plan
  if (plan.freshSecret) {
    // There is a file, or the configuration would not have been taken without secrets.
    addToSecretsFile(source.secretsFile!, wanted.secrets[0]!, config.outbox.path)
    note(`a new secret is in ${source.secretsFile}`)
  }
  if (plan.changes.some(({ field }) => field === 'secret')) {
    const fingerprints = wanted.secrets.map(secretFingerprint)
    try {
      await bringToRelay(config, sourceName, (known) => fingerprints.every((each) => known.includes(each)))
    } catch (error) {
      if (!(error instanceof RelayError)) throw error
      note(`warning: the running relay does not know the secret yet: ${oneLine(errorMessage(error))}`)
    }
  }
  if (registered === null) return created({ client }, wanted)
  return client.updateWebhook(registered.webhookId, webhookDifference(wanted, registered).patch)
}

/** Where the answer to it got lost, it is looked whether it was done: a second one would send everything twice. */
async function created({ client }: Pick<Account, 'client'>, wanted: WantedWebhook): Promise<Webhook> {
  try {
    return await client.createWebhook(wanted)
  } catch (error) {
    if (!(error instanceof ProviderError) || error.repeat !== 'idempotent') throw error
    const [found] = webhooksInPlace(wanted, await client.listWebhooks())
    if (found === undefined) throw error
    return found
  }
}

async function warnIfUnknown({ config }: Account, { sourceName }: ConfiguredWebhook, webhook: Webhook): Promise<void> {
  const known = await secretsOfRelay(config, sourceName)
  if (known === null || webhook.secrets.map(secretFingerprint).some((each) => known.includes(each))) return
  note('warning: the running relay has none of its secrets: have it read its configuration, by ultravox-relay reload')
}

/** Another's webhook must not be taken for one that has moved; two of ours do no harm, for an event is recorded once. */
function tellOfOthers(wanted: WantedWebhook, registered: readonly Webhook[]): void {
  for (const { webhookId, url } of webhooksElsewhere(wanted, registered)) {
    const other = `webhook ${webhookId} to ${shownUrl(url)} is signed with the same secret and stays as it is`
    note(oneLine(`${other}; if it is to lead here instead: webhooks ensure --id ${webhookId}`))
  }
}

function done({ action }: Plan): string {
  return action === 'create' ? 'created' : 'changed'
}

function changesText(plan: Plan): string {
  const head = plan.registered === null ? [] : [oneLine(`~ webhook ${plan.registered.webhookId}`)]
  const { agentId } = plan.wanted
  const calls = agentId === null ? 'calls of all agents' : `calls of agent ${agentId}`
  const lines = plan.changes.map((change) => {
    const { field, value } = shownChange(change, plan)
    const line = oneLine(field === 'webhook' ? `webhook ${value}, ${calls}` : `  ${field} ${value}`)
    return change.change === 'add' ? styled('green', `+ ${line}`) : styled('red', `- ${line}`)
  })
  return [...head, ...lines].join('\n')
}

/** A secret that is made for it is told as a new one: before, it is not yet on disk, and may never be. */
function shownChange({ value, ...change }: WebhookChange, { freshSecret }: Plan): WebhookChange {
  if (change.field === 'secret') return { ...change, value: freshSecret ? 'new' : value }
  return { ...change, value: change.field === 'event' ? value : shownUrl(value) }
}
