import { Command, Option } from 'commander'
import { EXAMPLE_SECRET } from '../config/example-secret.ts'
import { addToSecretsFile } from '../config/secrets-file.ts'
import { errorMessage, RelayError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { Webhook } from '../ultravox/client.ts'
import { ProviderError } from '../ultravox/provider-error.ts'
import { canonicalUrl, differInSlash } from '../ultravox/same-url.ts'
import { fingerprints, hidesSecrets, showsAll } from '../ultravox/shown-secrets.ts'
import { shownUrl } from '../ultravox/shown-url.ts'
import {
  agentInWords,
  newWebhookChanges,
  type WantedWebhook,
  type WebhookChange,
  webhookDifference,
  webhooksElsewhere,
  webhooksInPlace,
  webhooksOfOtherAgents,
} from '../ultravox/webhook-difference.ts'
import { withCommandLock } from './command-lock.ts'
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
  readonly create?: boolean
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
  /** Those that lead to the same URL for other agents' calls, and stay as they are. */
  readonly others: readonly Webhook[]
}

export function ensureCommand(): Command {
  const command = new Command('ensure')
    .description('create the configured webhook at Ultravox, or change what of it differs; nothing else is touched')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(
      new Option(
        '--id <id>',
        'which webhook it is, where several lead to the URL, or it led elsewhere or was for other calls',
      ),
    )
    .addOption(
      new Option('--create', "create one although another leads to the URL for other agents' calls").conflicts('id'),
    )
  for (const option of consentOptions()) command.addOption(option)
  return command
    .addHelpText('after', examples('webhooks ensure --dry-run', 'webhooks ensure --yes'))
    .action((options: Options) =>
      withAccount(options, 'needed', (account) => {
        const configured = needConfigured(account)
        if (options.dryRun === true) return ensure(account, configured, options)
        // What one of two at once creates, the other must find.
        const name = `ensure ${canonicalUrl(configured.wanted.url)}`
        return withCommandLock(name, 'wait', () => ensure(account, configured, options))
      }),
    )
}

async function ensure(account: Account, configured: ConfiguredWebhook, options: Options): Promise<void> {
  const allRegistered = await account.client.listWebhooks()
  const plan = planFor(configured, allRegistered, options)
  const dryRun = options.dryRun === true
  const tell = (webhookId: string | null, text: string) => {
    const { action, changes, others } = plan
    const shown = changes.map((each) => shownChange(each, plan))
    const alsoToUrl = others.map((other) => ({ webhookId: other.webhookId, agentId: other.agentId }))
    print(options.json, { action, dryRun, webhookId, changes: shown, alsoToUrl }, text)
    tellOfOtherAgents(plan)
  }
  if (plan.action === 'none') {
    const { webhookId } = plan.registered!
    await warnIfUnknown(account, configured, plan.registered!)
    warnOfSlash(configured, plan.registered!)
    const excess = plan.wanted.agentId !== null && plan.others.length > 0
    if (excess) process.exitCode = 1
    return tell(webhookId, `${excess ? '' : 'nothing to do: '}webhook ${webhookId} is as configured\n`)
  }
  const shown = changesText(plan)
  if (options.json === true) note(shown)
  else writeOut(`${shown}\n`)
  if (plan.action === 'create') tellOfOthers(plan.wanted, allRegistered)
  if (dryRun) return tell(plan.registered?.webhookId ?? null, '')
  if (!(await confirm(`1 webhook will be ${done(plan)} at Ultravox`, options.yes))) return
  const webhook = await carryOut(account, configured, plan, allRegistered)
  tell(webhook.webhookId, `webhook ${webhook.webhookId} is ${done(plan)}\n`)
}

function planFor(
  { wanted: known }: ConfiguredWebhook,
  registered: readonly Webhook[],
  { id, create = false }: Options,
): Plan {
  if (known.secrets.some((secret) => secret.reveal() === EXAMPLE_SECRET)) {
    throw new RelayError(
      'config_invalid',
      'the source has the example secret, which everybody knows: write one of your own',
    )
  }
  const freshSecret = known.secrets.length === 0
  const wanted = freshSecret ? { ...known, secrets: [newSecret()] } : known
  const found = chosenOrConfigured(wanted, registered, id)
  const others = webhooksOfOtherAgents(wanted, registered).filter((other) => other !== found)
  if (found === null) {
    if (others.length > 0 && !create) throw isOfOtherAgent(wanted, others)
    return { action: 'create', registered: null, wanted, freshSecret, changes: newWebhookChanges(wanted), others }
  }
  const { changes } = webhookDifference(wanted, found)
  return { action: changes.length === 0 ? 'none' : 'update', registered: found, wanted, freshSecret, changes, others }
}

/** Which of the two is meant only an operator can tell: that one is to change, or that both are to be. */
function isOfOtherAgent(wanted: WantedWebhook, others: readonly Webhook[]): RelayError {
  const each = others.map(({ webhookId, agentId }) => `webhook ${webhookId} is for ${agentInWords(agentId)}`).join(', ')
  const [{ webhookId }] = others as [Webhook]
  return new RelayError(
    'usage',
    `${oneLine(`another webhook leads to ${shownUrl(wanted.url)} already: ${each}; ultravox.webhook wants ${agentInWords(wanted.agentId)}`)}
to change it:                ultravox-relay webhooks ensure --id ${webhookId}
to delete it:                ultravox-relay webhooks delete ${webhookId}
to create one beside it:     ultravox-relay webhooks ensure --create`,
  )
}

function tellOfOtherAgents({ wanted, others }: Plan): void {
  for (const { webhookId, agentId } of others) {
    const other = `webhook ${webhookId} leads to the same URL for ${agentInWords(agentId)}`
    const effect =
      wanted.agentId === null ? 'they are sent twice and recorded once' : 'they keep coming, whatever agentId says'
    note(oneLine(`warning: ${other}: ${effect}. To delete it: ultravox-relay webhooks delete ${webhookId}`))
  }
}

/** The secret is on disk and, where it can be, with the relay before Ultravox signs with it. */
async function carryOut(
  { config, client }: Account,
  configured: ConfiguredWebhook,
  plan: Plan,
  before: readonly Webhook[],
): Promise<Webhook> {
  const { sourceName, source } = configured
  const { wanted, registered } = plan
  if (plan.freshSecret) {
    // There is a file, or the configuration would not have been taken without secrets.
    addToSecretsFile(source.secretsFile!, wanted.secrets[0]!, config.outbox.path)
    note(`a new secret is in ${source.secretsFile}`)
  }
  if (plan.changes.some(({ field }) => field === 'secret')) {
    const wantedOnes = wanted.secrets.map(secretFingerprint)
    try {
      await bringToRelay(config, sourceName, (known) => wantedOnes.every((each) => known.includes(each)))
    } catch (error) {
      if (!(error instanceof RelayError)) throw error
      note(`warning: the running relay does not know the secret yet: ${oneLine(errorMessage(error))}`)
    }
  }
  const patch = registered === null ? null : webhookDifference(wanted, registered).patch
  const webhook =
    patch === null
      ? await createdOnce(client, wanted, before)
      : await client.updateWebhook(registered!.webhookId, patch)
  warnOfSlash(configured, webhook)
  warnIfTransformed(webhook, patch === null ? wanted.secrets : (patch.secrets ?? []))
  return webhook
}

/** The relay's listener tells the two paths apart; a proxy before it may not. */
function warnOfSlash({ wanted, sourceName }: ConfiguredWebhook, { webhookId, url }: Webhook): void {
  if (!differInSlash(wanted.url, url)) return
  const [has, path] = url.endsWith('/') ? ['a', 'ends in /'] : ['no', 'does not end in /']
  note(
    oneLine(
      `warning: Ultravox has webhook ${webhookId} with ${has} slash at the end of its URL: if its events are answered 404, write a path that ${path} into sources.${sourceName}.path`,
    ),
  )
}

/** What is shown in an answer is all that can be known of what Ultravox signs with. */
function warnIfTransformed(webhook: Webhook, sent: readonly Secret[]): void {
  if (hidesSecrets(webhook, sent.map(secretFingerprint)) || showsAll(webhook, sent)) return
  note(
    oneLine(
      `warning: Ultravox shows other secrets for webhook ${webhook.webhookId} than it was given (given ${fingerprints(sent)}, shown ${fingerprints(webhook.secrets)}): send a test event and see whether it is accepted`,
    ),
  )
}

/**
 * Creates the webhook. Another `ensure`, perhaps on another machine, may do the same between the look before and this:
 * then all see both afterwards, and by the same rule leave the one that was created first. Only webhooks that were not there
 * before are deleted.
 */
async function createdOnce(
  client: Account['client'],
  wanted: WantedWebhook,
  before: readonly Webhook[],
): Promise<Webhook> {
  const own = await created(client, wanted)
  const known = new Set(before.map(({ webhookId }) => webhookId))
  const found = webhooksInPlace(wanted, await client.listWebhooks()).filter(({ webhookId }) => !known.has(webhookId))
  const all = found.some(({ webhookId }) => webhookId === own.webhookId) ? found : [own, ...found]
  const [first, ...rest] = all.toSorted(byCreation) as [Webhook, ...Webhook[]]
  for (const { webhookId } of rest) {
    await client.deleteWebhook(webhookId)
    note(`webhook ${webhookId} was created at the same time and is deleted: ${first.webhookId} stays`)
  }
  if (first.webhookId === own.webhookId) return own
  const { patch, changes } = webhookDifference(wanted, first)
  return changes.length === 0 ? first : client.updateWebhook(first.webhookId, patch)
}

function byCreation(a: Webhook, b: Webhook): number {
  const [at, bt] = [a.created ?? Number.MAX_SAFE_INTEGER, b.created ?? Number.MAX_SAFE_INTEGER]
  return at - bt || (a.webhookId < b.webhookId ? -1 : 1)
}

/** Where its answer got lost, it is looked whether it was done: a second one would send everything twice. */
async function created(client: Account['client'], wanted: WantedWebhook): Promise<Webhook> {
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
  const lines = plan.changes.map((change) => {
    const { field, value } = shownChange(change, plan)
    const line = oneLine(
      field === 'webhook' ? `webhook ${value}, ${agentInWords(agentId).replace('the ', '')}` : `  ${field} ${value}`,
    )
    return change.change === 'add' ? styled('green', `+ ${line}`) : styled('red', `- ${line}`)
  })
  return [...head, ...lines].join('\n')
}

/** A secret that is made for it is told as a new one: before, it is not yet on disk, and may never be. */
function shownChange({ value, ...change }: WebhookChange, { freshSecret }: Plan): WebhookChange {
  if (change.field === 'secret') return { ...change, value: freshSecret ? 'new' : value }
  return { ...change, value: ['event', 'agent'].includes(change.field) ? value : shownUrl(value) }
}
