import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { type RotationState, readRotation, rotationProgress } from '../config/rotation-state.ts'
import { type Clock, systemClock, systemStopwatch } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import { withCommandLock } from './command-lock.ts'
import { configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { iso, parseDuration } from './instant.ts'
import { overwriteLine } from './output.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { accountOption } from './provider-client.ts'
import { bringToRelay, secretUses } from './relay-secrets.ts'
import { abort, begun, type RelaySide, type Rotated, type Rotation, rotate } from './rotation.ts'
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
  readonly overlap: number
  readonly despiteFailures?: boolean
  readonly abort?: boolean
}

/** Senders are behind a change by seconds. */
const OVERLAP_MS = 10_000

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
      new Option(
        '--after <age>',
        'go on after so long even if no event signed with the new secret has come, or what failed may be sent again',
      ).argParser(parseDuration),
    )
    .addOption(
      new Option('--overlap <age>', "how long both secrets stay valid after each change, beyond the source's tolerance")
        .argParser(parseDuration)
        .default(OVERLAP_MS, '10s'),
    )
    .addOption(
      new Option(
        '--despite-failures',
        'retire the old secret although webhooks were rejected since the new one was registered',
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
  await withCommandLock(`rotate-secret ${secretsFile}`, 'refuse', async () => {
    const rotation = rotationOf(account, configured, secretsFile, options)
    const underway = readRotation(secretsFile)
    try {
      if (options.abort === true) await abortRotation(rotation, underway, options)
      else await runRotation(account, configured, rotation, underway, options)
    } catch (error) {
      if (!account.signal.aborted) throw error
      rotation.progress('')
      note('interrupted: both secrets are good meanwhile; run rotate-secret again to go on, or with --abort to go back')
      process.exitCode = 1
    }
  })
}

async function runRotation(
  account: Account,
  configured: ConfiguredWebhook,
  rotation: Rotation,
  underway: RotationState | null,
  options: Options,
): Promise<void> {
  const state = underway ?? (await beginning(account, configured, options.id))
  if (!(await agreed(wouldRotate(state, underway !== null), state, options))) return
  const rotated = await rotate(rotation, state)
  tellLeftOvers(rotated, configured)
  print(
    options.json,
    { rotated: true, ...rotated },
    `webhook ${rotated.webhookId} is signed with ${rotated.newSecret} only\n`,
  )
}

function rotationOf(
  { config, client, signal }: Account,
  { sourceName, source }: ConfiguredWebhook,
  secretsFile: string,
  options: Options,
): Rotation {
  const relay: RelaySide = {
    bring: (isRight) => bringToRelay(config, sourceName, isRight),
    uses: () => secretUses(config, sourceName),
    configured() {
      const now = loadWithoutSecrets(config.file).config.sources[sourceName]
      const secrets = now?.scheme === 'ultravox' ? now.secrets : []
      return secrets.filter(({ isMissing }) => !isMissing).map(secretFingerprint)
    },
  }
  return {
    client,
    relay,
    secretsFile,
    outboxPath: config.outbox.path,
    toleranceMs: source.toleranceMs,
    overlapMs: options.overlap,
    afterMs: options.after ?? null,
    despiteFailures: options.despiteFailures === true,
    clock: commandClock(),
    pause: (ms) => sleep(ms, undefined, { signal }),
    tell: note,
    progress: progressLine(),
  }
}

/** The time of the command's start and how long it has run: a clock that is moved meanwhile shortens no wait. */
function commandClock(): Clock {
  const [startedAt, start] = [systemClock.now(), systemStopwatch()]
  return { now: () => Math.floor(startedAt + systemStopwatch() - start) }
}

/** One line that changes, on a terminal; nothing elsewhere. */
function progressLine(): (text: string) => void {
  let shown = ''
  return (text) => {
    if (text !== shown) overwriteLine(text)
    shown = text
  }
}

async function abortRotation(rotation: Rotation, state: RotationState | null, options: Options): Promise<void> {
  if (state === null) throw new RelayError('not_found', 'no rotation is under way: there is nothing to abort')
  const would = `the rotation begun at ${iso(state.startedAt)} would be undone: ${state.newSecret} goes, the old secret stays`
  if (!(await agreed(would, state, options))) return
  await abort(rotation, state)
  print(options.json, { rotated: false, webhookId: state.webhookId }, 'the rotation is undone\n')
}

async function beginning(
  { client }: Account,
  { wanted }: ConfiguredWebhook,
  id: string | undefined,
): Promise<RotationState> {
  const webhook = chosenOrConfigured(wanted, await client.listWebhooks(), id)
  if (webhook !== null) return begun(webhook, wanted.secrets.map(secretFingerprint), systemClock)
  throw new RelayError('not_found', 'the configured webhook is not there at Ultravox: make it by webhooks ensure')
}

/** False where it was only asked what would be done, or not agreed to. */
async function agreed(would: string, { webhookId }: RotationState, options: Options): Promise<boolean> {
  if (options.dryRun !== true) return confirm(would, options.yes)
  note(would)
  if (options.json === true) print(true, { rotated: false, dryRun: true, webhookId }, '')
  return false
}

function wouldRotate(state: RotationState, underway: boolean): string {
  const { webhookId, oldSecrets, newSecret, startedAt, registeredAt } = state
  const old = oldSecrets.join(' ')
  if (!underway) return `webhook ${webhookId}: a new secret takes the place of ${old}`
  const stand = registeredAt === null ? 'not yet registered' : `registered since ${iso(registeredAt)}`
  const progress = state.retiredAt === null ? stand : rotationProgress(state)
  return `webhook ${webhookId}: the rotation begun at ${iso(startedAt)} goes on: ${newSecret} (${progress}) takes the place of ${old}`
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
