import { endRotation, type RotationState, saveRotation } from '../config/rotation-state.ts'
import { addToSecretsFile, readSecretsFile, removeFromSecretsFile } from '../config/secrets-file.ts'
import type { Clock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { SecretUse } from '../outbox/operator.ts'
import type { UltravoxClient, Webhook } from '../ultravox/client.ts'
import { fingerprints, hidesSecrets, showsAll } from '../ultravox/shown-secrets.ts'
import {
  type RotationPace,
  retirementHold,
  retriesEndAt,
  settleMs,
  untilReplaced,
  untilUnused,
} from './rotation-wait.ts'
import { newSecret, webhookById } from './webhook-account.ts'

/** What a rotation works with. */
export interface Rotation extends RotationPace {
  readonly client: Pick<UltravoxClient, 'listWebhooks' | 'updateWebhook'>
  readonly relay: RelaySide
  readonly secretsFile: string
  /** The outbox, whose owner a new secrets file gets. */
  readonly outboxPath: string
}

/** The relay that verifies the webhooks, as far as it runs. */
export interface RelaySide {
  /** Has the running relay reload until its secrets are right, given their fingerprints. False where none runs. */
  bring(isRight: (fingerprints: readonly string[]) => boolean): Promise<boolean>
  uses(): Promise<readonly SecretUse[]>
  /** Fingerprints of the secrets that the configuration gives the source now: its own, and those of the file. */
  configured(): readonly string[]
}

/** What a rotation has done; secrets by their fingerprints. */
export interface Rotated {
  readonly webhookId: string
  readonly newSecret: string
  readonly removed: readonly string[]
  /** Old ones that stand in the configuration itself. */
  readonly leftInConfig: readonly string[]
  /** Old ones that another webhook is signed with. */
  readonly usedElsewhere: readonly string[]
}

/** How often, and how far apart, a webhook is read after a change before its old secrets count as what was done. */
const REREADS = 5
const REREAD_MS = 1_000

/*
 * The order keeps one thing true at every moment: whatever Ultravox signs with, the relay knows. A secret is known here
 * before it is registered there, and is forgotten here only after all that was signed with it has arrived or is too old.
 *
 *   1 file      The state names the new secret before the file has it. A crash between them loses a secret that nothing
 *               else has yet: the next run makes another.
 *   2 relay     The running relay itself reports which secrets it accepts. One that is not running reads the file when
 *               it starts.
 *   3 register  PATCH old + new, then read back. Every run asks Ultravox what is registered, so a lost answer, or a crash
 *               before the state says since when, costs a request, or at most a longer wait. Where Ultravox shows other
 *               secrets than it was sent, the former ones are registered again and the rotation stops.
 *   4 wait      Until webhooks signed before step 3 have arrived, the new secret is in use, and the old one alone is not.
 *   5 retire    PATCH without the old, unless webhooks have failed since step 3. Until here --abort leads back.
 *   6 forget    Only once Ultravox itself shows that the old one is gone, and webhooks signed with it have arrived. The
 *               state goes last, so a crash before repeats this step, which then finds its work done.
 *
 * Each step reads how things are and does what is left to do: going on after a crash is running all of them again. --abort
 * is the same in the other direction, with the same wait before the relay forgets the new secret.
 */

/**
 * The state of a rotation that begins with this webhook; nothing is changed yet. Throws `usage` where Ultravox shows none
 * of the source's secrets for it: then what it signs with is unknown, and could not be kept valid.
 */
export function begun(webhook: Webhook, ours: readonly string[], clock: Clock): RotationState {
  needShown(webhook, ours)
  const oldSecrets = webhook.secrets.map(secretFingerprint).filter((each) => ours.includes(each))
  return {
    webhookId: webhook.webhookId,
    newSecret: '',
    oldSecrets,
    startedAt: clock.now(),
    registeredAt: null,
    retiredAt: null,
    unregisteredAt: null,
  }
}

/** Takes a rotation to its end. Throws as the provider's API does, as `bring` does, and where the old secret must stay. */
export async function rotate(rotation: Rotation, from: RotationState): Promise<Rotated> {
  const { tell } = rotation
  let state = await secretInFile(rotation, { ...from, unregisteredAt: null })
  const isRunning = await secretAtRelay(rotation, state)
  tell(`2 of 6: ${isRunning ? 'the running relay knows it' : 'no relay is running; it reads the file when it starts'}`)
  state = await retired(rotation, await registered(rotation, state))
  const { oldSecrets: gone, newSecret, retiredAt } = state
  await untilUnused(rotation, { gone, kept: [newSecret], since: retiredAt!, step: '6 of 6' })
  return forgotten(rotation, state)
}

/**
 * Leads back to the old secret: the new one goes, at Ultravox first. Throws `usage` where the old one is gone there, or
 * is no longer known here.
 */
export async function abort(rotation: Rotation, from: RotationState): Promise<void> {
  const { client, relay, secretsFile, clock, tell } = rotation
  for (let state = from; ; ) {
    const webhook = (await client.listWebhooks()).find(({ webhookId }) => webhookId === state.webhookId)
    const isThere = webhook !== undefined && isSignedWith(webhook, state.newSecret)
    if (webhook !== undefined) needWayBack(webhook, state, relay.configured())
    if (isThere) {
      const rest = webhook.secrets.filter((secret) => secretFingerprint(secret) !== state.newSecret)
      await changeSecrets(rotation, webhook, rest, [state.newSecret])
    }
    if (isThere || state.unregisteredAt === null) {
      state = { ...state, registeredAt: null, unregisteredAt: clock.now() }
      saveRotation(secretsFile, state)
      tell('the new secret is not registered at Ultravox')
    }
    // After a wait it is looked again: a request that was still under way may have registered it once more.
    const { newSecret: fingerprint, oldSecrets: kept, unregisteredAt } = state
    if (await untilUnused(rotation, { gone: [fingerprint], kept, since: unregisteredAt!, step: 'abort' })) break
  }
  removeFromSecretsFile(secretsFile, [from.newSecret])
  await relay.bring((known) => !known.includes(from.newSecret))
  endRotation(secretsFile)
}

async function secretInFile(rotation: Rotation, from: RotationState): Promise<RotationState> {
  const { client, secretsFile, outboxPath, tell } = rotation
  if (isInFile(secretsFile, from.newSecret)) return told(from)
  // A file that was put back from a backup: Ultravox still has the secret that is missing in it.
  const webhook = webhookById(await client.listWebhooks(), from.webhookId)
  const secret = webhook.secrets.find((each) => secretFingerprint(each) === from.newSecret) ?? newSecret()
  const state = { ...from, newSecret: secretFingerprint(secret) }
  saveRotation(secretsFile, state)
  addToSecretsFile(secretsFile, secret, outboxPath)
  return told(state)

  function told(state: RotationState): RotationState {
    tell(`1 of 6: the new secret ${state.newSecret} is in ${secretsFile}`)
    return state
  }
}

/** False where no relay is running. */
function secretAtRelay({ relay }: Rotation, { newSecret: fingerprint }: RotationState): Promise<boolean> {
  return relay.bring((known) => known.includes(fingerprint))
}

/** Also until when what failed before may come again. */
async function registered(rotation: Rotation, from: RotationState): Promise<{ state: RotationState; hold: number }> {
  const { client, secretsFile, clock, tell } = rotation
  const before = webhookById(await client.listWebhooks(), from.webhookId)
  const secret = secretOf(secretsFile, from.newSecret)
  const isThere = isSignedWith(before, from.newSecret)
  let webhook = before
  if (!isThere) {
    needShown(before, [...from.oldSecrets, from.newSecret])
    webhook = await changeSecrets(rotation, before, [...before.secrets, secret], [])
  }
  const state = {
    ...from,
    registeredAt: (isThere ? from.registeredAt : null) ?? clock.now(),
    retiredAt: from.oldSecrets.some((old) => isSignedWith(webhook, old)) ? null : from.retiredAt,
  }
  saveRotation(secretsFile, state)
  const others = webhook.secrets.map(secretFingerprint).filter((each) => each !== from.newSecret)
  tell(`3 of 6: Ultravox signs with it${others.length === 0 ? '' : ` besides ${others.join(' ')}`}`)
  return { state, hold: retriesEndAt(webhook, state.registeredAt + settleMs(rotation)) }
}

/** Waits, and retires the old secrets once nothing speaks against it. */
async function retired(
  rotation: Rotation,
  { state, hold: firstHold }: { state: RotationState; hold: number },
): Promise<RotationState> {
  const { client, secretsFile, clock, tell } = rotation
  for (let hold = firstHold; ; ) {
    if (state.retiredAt === null) await untilReplaced(rotation, state, hold)
    // Much may have happened meanwhile.
    await secretAtRelay(rotation, state)
    if (!isInFile(secretsFile, state.newSecret)) throw gone(secretsFile)
    const before = webhookById(await client.listWebhooks(), state.webhookId)
    // Otherwise a change that was made to the webhook meanwhile would leave it with no secret of ours.
    if (!isSignedWith(before, state.newSecret)) throw notTaken()
    const isOld = (secret: Secret) => state.oldSecrets.includes(secretFingerprint(secret))
    const rest = before.secrets.filter((secret) => !isOld(secret))
    const isLeft = rest.length < before.secrets.length
    if (isLeft) {
      hold = retirementHold(rotation, state, before)
      if (hold > clock.now()) continue
      await changeSecrets(rotation, before, rest, state.oldSecrets)
    }
    const after = { ...state, retiredAt: (isLeft ? null : state.retiredAt) ?? clock.now() }
    saveRotation(secretsFile, after)
    tell('5 of 6: Ultravox does not sign with the old one any more')
    const foreign = rest.map(secretFingerprint).filter((each) => each !== state.newSecret)
    if (foreign.length > 0)
      tell(`kept at Ultravox, for the webhook had them and they are not to go: ${foreign.join(' ')}`)
    return after
  }
}

async function forgotten(rotation: Rotation, state: RotationState): Promise<Rotated> {
  const { client, relay, secretsFile, tell } = rotation
  const { webhookId, newSecret: fingerprint } = state
  const webhooks = await client.listWebhooks()
  // It may have been put back meanwhile, by hand or by a request that was under way.
  const own = webhooks.find((webhook) => webhook.webhookId === webhookId)
  if (own !== undefined && state.oldSecrets.some((old) => isSignedWith(own, old))) throw notTaken()
  const others = webhooks.filter((webhook) => webhook.webhookId !== webhookId)
  const usedElsewhere = state.oldSecrets.filter((old) => others.some((webhook) => isSignedWith(webhook, old)))
  const old = state.oldSecrets.filter((each) => !usedElsewhere.includes(each))
  removeFromSecretsFile(secretsFile, old)
  const left = relay.configured()
  const removed = old.filter((each) => !left.includes(each))
  const isForgotten = (known: readonly string[]) =>
    known.includes(fingerprint) && !removed.some((each) => known.includes(each))
  await relay.bring(isForgotten)
  endRotation(secretsFile)
  tell(`6 of 6: ${removed.join(' ') || 'nothing'} was removed from ${secretsFile}`)
  return {
    webhookId,
    newSecret: fingerprint,
    removed,
    leftInConfig: old.filter((each) => left.includes(each)),
    usedElsewhere,
  }
}

/**
 * Registers these secrets at Ultravox, and reads them back: an answer may repeat what was sent and the webhook hold
 * something else. Where it shows others, the former ones are registered again. Throws `provider_failed` unless all of
 * these are shown, and none of `without`.
 */
async function changeSecrets(
  { client, pause }: Rotation,
  before: Webhook,
  secrets: readonly Secret[],
  without: readonly string[],
): Promise<Webhook> {
  const { webhookId } = before
  await client.updateWebhook(webhookId, { secrets })
  let shown = before
  const isUnchanged = () => showsAll(shown, before.secrets) && shown.secrets.length === before.secrets.length
  for (let reads = 0; reads < REREADS; reads += 1) {
    if (reads > 0) await pause(REREAD_MS)
    shown = webhookById(await client.listWebhooks(), webhookId)
    if (showsAll(shown, secrets) && !without.some((each) => isSignedWith(shown, each))) return shown
    // The state before the change; anything else was transformed by Ultravox.
    if (!isUnchanged()) break
  }
  if (isUnchanged()) throw notTaken()
  await client.updateWebhook(webhookId, { secrets: before.secrets })
  const restored = webhookById(await client.listWebhooks(), webhookId)
  const outcome = showsAll(restored, before.secrets)
    ? 'the former ones are registered again'
    : `the former ones could not be registered again, and it shows ${fingerprints(restored.secrets)}: see doctor`
  throw new RelayError(
    'provider_failed',
    `Ultravox shows other secrets than it was given (given ${fingerprints(secrets)}, shown ${fingerprints(shown.secrets)}), so it cannot be known what it signs with: ${outcome}; all of them stay valid at the relay. End the rotation with: ultravox-relay webhooks rotate-secret --abort`,
  )
}

/** Throws `usage` where what a webhook is signed with cannot be seen, or is none of ours. */
function needShown(webhook: Webhook, ours: readonly string[]): void {
  if (hidesSecrets(webhook, ours)) {
    throw new RelayError(
      'usage',
      `Ultravox does not show the secrets of the webhook ${webhook.webhookId}, so its secret cannot be rotated without risk: nothing could tell whether the old one is still in use. To change it anyway, create another webhook and delete this one`,
    )
  }
  if (ours.some((each) => isSignedWith(webhook, each))) return
  throw new RelayError(
    'usage',
    `the webhook ${webhook.webhookId} is signed with none of the source's secrets: run ultravox-relay webhooks ensure first`,
  )
}

/** Throws `usage` where the webhook would be left with no secret that the relay knows. */
function needWayBack(webhook: Webhook, state: RotationState, configured: readonly string[]): void {
  needShown(webhook, [...state.oldSecrets, state.newSecret])
  if (!state.oldSecrets.every((old) => isSignedWith(webhook, old))) {
    throw new RelayError('usage', 'the old secret is gone at Ultravox already: run rotate-secret to finish')
  }
  if (!state.oldSecrets.some((old) => configured.includes(old))) {
    throw new RelayError('usage', 'the relay does not have the old secret any more: run rotate-secret to finish')
  }
}

function secretOf(secretsFile: string, fingerprint: string): Secret {
  const secret = readSecretsFile(secretsFile)?.secrets.find((each) => secretFingerprint(each) === fingerprint)
  if (secret === undefined) throw gone(secretsFile)
  return secret
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
