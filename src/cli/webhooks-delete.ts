import { Command, Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { shownUrl } from '../ultravox/shown-url.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { accountOption } from './provider-client.ts'
import { oneLine } from './table.ts'
import { type Account, needConfigured, theConfigured, webhookById, withAccount } from './webhook-account.ts'

interface Options extends ConsentOptions {
  readonly config?: string
  readonly account?: string
  readonly json?: boolean
  readonly configured?: boolean
}

export function deleteCommand(): Command {
  const command = new Command('delete')
    .description('delete a webhook at Ultravox: nothing is sent to it any more')
    .argument('[id]', 'its id, or the beginning of it')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(new Option('--configured', 'the one to the configured URL'))
  for (const option of consentOptions()) command.addOption(option)
  return command
    .addHelpText('after', examples('webhooks delete 22222222-… --dry-run', 'webhooks delete --configured --yes'))
    .action((id: string | undefined, options: Options) => {
      if ((id === undefined) !== (options.configured === true)) {
        throw new RelayError('usage', 'say which webhook: its id, or --configured')
      }
      return withAccount(options, 'not needed', (account) => deleteWebhook(account, id, options))
    })
}

async function deleteWebhook(account: Account, id: string | undefined, options: Options): Promise<void> {
  const webhook = await meant(account, id)
  const { webhookId, events } = webhook
  const url = shownUrl(webhook.url)
  const what = oneLine(`webhook ${webhookId} to ${url} (${events.join(', ')})`)
  const dryRun = options.dryRun === true
  if (dryRun) note(`${what} would be deleted`)
  else if (!(await confirm(`${what} will be deleted at Ultravox`, options.yes))) return
  // Not there any more: an answer of Ultravox's that got lost, or somebody else was faster.
  if (!dryRun) await account.client.deleteWebhook(webhookId)
  print(options.json, { webhookId, url, deleted: !dryRun, dryRun }, dryRun ? '' : `${webhookId} is deleted\n`)
}

async function meant(account: Account, id: string | undefined) {
  if (id !== undefined) return webhookById(await account.client.listWebhooks(), id)
  const { wanted } = needConfigured(account)
  const found = theConfigured(wanted, await account.client.listWebhooks(), 'by its id, in place of --configured')
  if (found !== null) return found
  throw new RelayError('not_found', `Ultravox has no webhook to ${shownUrl(wanted.url)}: see webhooks list`)
}
