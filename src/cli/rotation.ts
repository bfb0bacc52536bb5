import { addToSecretsFile, readSecretsFile, removeFromSecretsFile } from '../config/secrets-file.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { Webhook } from '../ultravox/client.ts'
import { loadWithoutSecrets } from './config-file.ts'
import { note } from './printing.ts'
import { bringToRelay } from './relay-secrets.ts'
import { endRotation, type RotationState, saveRotation } from './rotation-state.ts'
import { awaitUse } from './rotation-wait.ts'
import { type Account, type ConfiguredWebhook, newSecret, webhookById } from './webhook-account.ts'

/** What a rotation works with. */
export interface Rotation {
  readonly account: Account
  readonly configured: ConfiguredWebhook
  readonly secretsFile: string
  /** Go on after so long even if nothing signed with the new secret has come; null: wait until it has. */
  readonly afterMs: number | null
}

/** What came of it; secrets by their fingerprints. */
export interface Rotated {
  readonly webhookId: string
  readonly newSecret: string
  readonly removed: readonly string[]
  /** Old ones that stand in the configuration itself. */
  readonly leftInConfig: readonly string[]
  /** Old ones that another webhook is signed with. */
  readonly usedElsewhere: readonly string[]
}

/*
 * The order keeps one thing true at every moment: whatever Ultravox signs with, the relay knows. A secret is known here
 * before it is registered there, and gone there before it is forgotten here.
 *
 *   1 file      The state names the new secret before the file has it. A crash between them loses a secret that nobody
 *               else has yet: the next run makes another.
 *   2 relay     The running relay says itself which secrets it goes by. One that is not running reads the file at its
 *               start.
 *   3 register  PATCH old + new. Every run asks Ultravox what is registered, so a lost answer, or a crash before the state
 *               says since when, costs a look, or at most a longer wait.
 *   4 wait      Changes nothing.
 *   5 retire    PATCH without the old. Until here --abort leads back.
 *   6 forget    Only once Ultravox itself says that the old one is gone. The state goes last, so a crash before repeats
 *               this step, which then finds its work done.
 *
 * Each step looks at how things are and does what is left to do: going on after a crash is running all of them again.
 */

/** The state of a rotation that begins with this webhook; nothing is changed yet. */
export function begun(webhook: Webhook, oldSecrets: readonly string[]): RotationState {
  const now = systemClock.now()
  return { webhookId: webhook.webhookId, newSecret: '', oldSecrets, startedAt: now, registeredAt: null }
}

/** Takes a rotation to its end. Null where it was interrupted while it waited. */
export async function rotate(rotation: Rotation, from: RotationState): Promise<Rotated | null> {
  const withSecret = await secretInFile(rotation, from)
  const isRunning = await secretAtRelay(rotation, withSecret)
  note(`2 of 6: ${isRunning ? 'the running relay knows it' : 'no relay is running; it reads the file when it starts'}`)
  const { state, webhook } = await registered(rotation, withSecret)
  const { account, configured, afterMs } = rotation
  const { signal, config } = account
  if (!(await awaitUse({ config, source: configured.sourceName, state, webhook, afterMs, signal }))) return null
  // Much may have happened meanwhile.
  await secretAtRelay(rotation, state)
  await retired(rotation, state)
  return forgotten(rotation, state)
}

/** Leads back to how it was before: the new secret goes, at Ultravox first. Throws `usage` where the old one is gone. */
export async function abort({ account, configured, secretsFile }: Rotation, state: RotationState): Promise<void> {
  const { client, config } = account
  const webhook = (await client.listWebhooks()).find(({ webhookId }) => webhookId === state.webhookId)
  if (webhook !== undefined && isSignedWith(webhook, state.newSecret)) {
    const rest = webhook.secrets.filter((secret) => secretFingerprint(secret) !== state.newSecret)
    if (rest.length === 0 || !state.oldSecrets.every((old) => isSignedWith(webhook, old))) {
      throw new RelayError('usage', 'the old secret is gone at Ultravox already: run rotate-secret to finish')
    }
    await client.updateWebhook(webhook.webhookId, { secrets: rest })
  }
  note('the new secret is not registered at Ultravox')
  removeFromSecretsFile(secretsFile, [state.newSecret])
  await bringToRelay(config, configured.sourceName, (known) => !known.includes(state.newSecret))
  endRotation(secretsFile)
}

async function secretInFile(rotation: Rotation, from: RotationState): Promise<RotationState> {
  const { account, secretsFile } = rotation
  if (isInFile(secretsFile, from.newSecret)) return told(from)
  // A file that was put back from a backup: Ultravox still has the secret that is missing in it.
  const webhook = webhookById(await account.client.listWebhooks(), from.webhookId)
  const secret = webhook.secrets.find((each) => secretFingerprint(each) === from.newSecret) ?? newSecret()
  const state = { ...from, newSecret: secretFingerprint(secret) }
  saveRotation(secretsFile, state)
  addToSecretsFile(secretsFile, secret, account.config.outbox.path)
  return told(state)

  function told(state: RotationState): RotationState {
    note(`1 of 6: the new secret ${state.newSecret} is in ${secretsFile}`)
    return state
  }
}

/** False where no relay is running. */
function secretAtRelay({ account, configured }: Rotation, { newSecret: fingerprint }: RotationState): Promise<boolean> {
  return bringToRelay(account.config, configured.sourceName, (known) => known.includes(fingerprint))
}

async function registered({ account: { client }, secretsFile }: Rotation, from: RotationState) {
  const before = webhookById(await client.listWebhooks(), from.webhookId)
  const isThere = isSignedWith(before, from.newSecret)
  const secret = readSecretsFile(secretsFile)?.secrets.find((each) => secretFingerprint(each) === from.newSecret)
  if (secret === undefined) throw gone(secretsFile)
  const secrets = [...before.secrets, secret]
  const webhook = isThere ? before : await client.updateWebhook(from.webhookId, { secrets })
  if (!isSignedWith(webhook, from.newSecret)) throw notTaken()
  const registeredAt = isThere ? (from.registeredAt ?? systemClock.now()) : systemClock.now()
  const state = { ...from, registeredAt }
  saveRotation(secretsFile, state)
  const others = webhook.secrets.map(secretFingerprint).filter((each) => each !== from.newSecret)
  note(`3 of 6: Ultravox signs with it${others.length === 0 ? '' : ` besides ${others.join(' ')}`}`)
  return { state, webhook }
}

async function retired({ account: { client }, secretsFile }: Rotation, state: RotationState): Promise<void> {
  if (!isInFile(secretsFile, state.newSecret)) throw gone(secretsFile)
  const before = webhookById(await client.listWebhooks(), state.webhookId)
  // Somebody has changed the webhook meanwhile: without this, it would be left with no secret of ours.
  if (!isSignedWith(before, state.newSecret)) throw notTaken()
  const secrets = before.secrets.filter((secret) => !state.oldSecrets.includes(secretFingerprint(secret)))
  const webhook =
    secrets.length === before.secrets.length ? before : await client.updateWebhook(state.webhookId, { secrets })
  if (state.oldSecrets.some((old) => isSignedWith(webhook, old)) || !isSignedWith(webhook, state.newSecret)) {
    throw notTaken()
  }
  note('5 of 6: Ultravox does not sign with the old one any more')
  const foreign = webhook.secrets.map(secretFingerprint).filter((each) => each !== state.newSecret)
  if (foreign.length > 0)
    note(`kept at Ultravox, for the webhook had them and they are not to go: ${foreign.join(' ')}`)
}

async function forgotten({ account, configured, secretsFile }: Rotation, state: RotationState): Promise<Rotated> {
  const { client, config } = account
  const { webhookId, newSecret: fingerprint } = state
  const others = (await client.listWebhooks()).filter((webhook) => webhook.webhookId !== webhookId)
  const usedElsewhere = state.oldSecrets.filter((old) => others.some((webhook) => isSignedWith(webhook, old)))
  const old = state.oldSecrets.filter((each) => !usedElsewhere.includes(each))
  removeFromSecretsFile(secretsFile, old)
  const source = loadWithoutSecrets(config.file).config.sources[configured.sourceName]
  const left = source?.scheme === 'ultravox' ? source.secrets.map(secretFingerprint) : []
  const removed = old.filter((each) => !left.includes(each))
  const isForgotten = (known: readonly string[]) =>
    known.includes(fingerprint) && !removed.some((each) => known.includes(each))
  await bringToRelay(config, configured.sourceName, isForgotten)
  endRotation(secretsFile)
  note(`6 of 6: ${removed.join(' ') || 'nothing'} was removed from ${secretsFile}`)
  return {
    webhookId,
    newSecret: fingerprint,
    removed,
    leftInConfig: old.filter((each) => left.includes(each)),
    usedElsewhere,
  }
}

function isInFile(secretsFile: string, fingerprint: string): boolean {
  const secrets = readSecretsFile(secretsFile)?.secrets ?? []
  return secrets.some((secret) => secretFingerprint(secret) === fingerprint)
}

function isSignedWith({ secrets }: Webhook, fingerprint: string): boolean {
  return secrets.some((secret) => secretFingerprint(secret) === fingerprint)
}

function gone(secretsFile: string): RelayError {
  return new RelayError(
    'usage',
    `the new secret is not in ${secretsFile} any more: run this again, which makes another`,
  )
}

function notTaken(): RelayError {
  return new RelayError('provider_failed', 'Ultravox does not have the secrets that it was given: run this again')
}
