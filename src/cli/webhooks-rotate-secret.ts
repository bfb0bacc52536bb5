import { Command, Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { sharedSecrets } from '../ultravox/webhook-difference.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { iso, parseDuration } from './instant.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { accountOption } from './provider-client.ts'
import { abort, begun, type Rotated, type Rotation, rotate } from './rotation.ts'
import { type RotationState, readRotation } from './rotation-state.ts'
import {
  type Account,
  type ConfiguredWebhook,
  chosenOrConfigured,
  needConfigured,
  withAccount,
} from './webhook-account.ts'

interface Options extends ConsentOptions {
  readonly config?: string
  readonly account?: string
  readonly json?: boolean
  readonly id?: string
  readonly after?: number
  readonly abort?: boolean
}

export function rotateSecretCommand(): Command {
  const command = new Command('rotate-secret')
    .description(
      'replace the secret of the configured webhook, at the relay and at Ultravox, without losing an event; run again, it goes on where it was',
    )
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(new Option('--id <id>', 'which webhook it is, where several may be meant'))
    .addOption(
      new Option('--after <age>', 'go on after so long even if no event signed with the new secret has come').argParser(
        parseDuration,
      ),
    )
    .addOption(new Option('--abort', 'go back to the old secret').conflicts('after'))
  for (const option of consentOptions()) command.addOption(option)
  return command
    .addHelpText(
      'after',
      examples(
        'webhooks rotate-secret --dry-run',
        'webhooks rotate-secret --yes --after 10m',
        'webhooks rotate-secret --abort',
      ),
    )
    .action((options: Options) => withAccount(options, 'needed', (account) => rotateSecret(account, options)))
}

async function rotateSecret(account: Account, options: Options): Promise<void> {
  const configured = needConfigured(account)
  const secretsFile = needSecretsFile(configured)
  const rotation = { account, configured, secretsFile, afterMs: options.after ?? null }
  const underway = readRotation(secretsFile)
  if (options.abort === true) return abortRotation(rotation, underway, options)
  const state = underway ?? (await beginning(rotation, options.id))
  if (!(await agreed(wouldRotate(state, underway !== null), state, options))) return
  const rotated = await rotate(rotation, state)
  if (rotated === null) {
    process.exitCode = 1
    return
  }
  tellLeftOvers(rotated, configured)
  print(
    options.json,
    { rotated: true, ...rotated },
    `webhook ${rotated.webhookId} is signed with ${rotated.newSecret} only\n`,
  )
}

async function abortRotation(rotation: Rotation, state: RotationState | null, options: Options): Promise<void> {
  if (state === null) throw new RelayError('not_found', 'no rotation is under way: there is nothing to abort')
  const would = `the rotation begun at ${iso(state.startedAt)} would be undone: ${state.newSecret} goes, the old secret stays`
  if (!(await agreed(would, state, options))) return
  await abort(rotation, state)
  print(options.json, { rotated: false, webhookId: state.webhookId }, 'the rotation is undone\n')
}

async function beginning(
  { account, configured: { wanted } }: Rotation,
  id: string | undefined,
): Promise<RotationState> {
  const webhook = chosenOrConfigured(wanted, await account.client.listWebhooks(), id)
  if (webhook !== null) return begun(webhook, sharedSecrets(wanted, webhook))
  throw new RelayError('not_found', 'the configured webhook is not there at Ultravox: make it by webhooks ensure')
}

/** False where it was only asked what would be done, or not agreed to. */
async function agreed(would: string, { webhookId }: RotationState, options: Options): Promise<boolean> {
  if (options.dryRun !== true) return confirm(would, options.yes)
  note(would)
  if (options.json === true) print(true, { rotated: false, dryRun: true, webhookId }, '')
  return false
}

function wouldRotate({ webhookId, oldSecrets, newSecret, startedAt, registeredAt }: RotationState, underway: boolean) {
  const old = oldSecrets.join(' ') || 'none of ours'
  if (!underway) return `webhook ${webhookId}: a new secret takes the place of ${old}`
  const stand = registeredAt === null ? 'not yet registered' : `registered since ${iso(registeredAt)}`
  return `webhook ${webhookId}: the rotation begun at ${iso(startedAt)} goes on: ${newSecret} (${stand}) takes the place of ${old}`
}

function tellLeftOvers({ leftInConfig, usedElsewhere }: Rotated, { sourceName }: ConfiguredWebhook): void {
  if (leftInConfig.length > 0) {
    note(`now remove ${leftInConfig.join(' ')} from sources.${sourceName}.secrets in the configuration, and reload`)
  }
  if (usedElsewhere.length > 0) {
    note(`the relay still takes ${usedElsewhere.join(' ')}, for another webhook is signed with it: see webhooks list`)
  }
}

function needSecretsFile({ source, sourceName }: ConfiguredWebhook): string {
  if (source.secretsFile !== null) return source.secretsFile
  throw new RelayError(
    'config_invalid',
    `a secret that is rotated lives in a file: write secretsFile: ./${sourceName}.secrets into sources.${sourceName}; the file is made, and what is in secrets stays good until it is replaced`,
  )
}
