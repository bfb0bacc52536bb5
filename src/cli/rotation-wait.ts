import type { RotationState } from '../config/rotation-state.ts'
import type { Clock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { SecretUse } from '../outbox/operator.ts'
import type { Webhook } from '../ultravox/client.ts'
import { duration, iso } from './instant.ts'
import { oneLine } from './table.ts'

/** Waits some milliseconds; rejects when the command is interrupted. */
export type Pause = (ms: number) => Promise<void>

/** What a rotation waits by. Durations in milliseconds. */
export interface RotationPace {
  readonly relay: { uses(): Promise<readonly SecretUse[]> }
  /** How old a webhook may be that the source accepts. */
  readonly toleranceMs: number
  /** How much longer than that both secrets stay valid after each change: the provider's workers switch one by one. */
  readonly overlapMs: number
  /** How long to wait for an event signed with the new secret, and for retries; null: until both are over. */
  readonly afterMs: number | null
  /** Retires the old secret although webhooks have failed since the new one was registered. */
  readonly despiteFailures: boolean
  /** Steady for as long as the command runs. */
  readonly clock: Clock
  readonly pause: Pause
  /** Tells an operator how far it has come, a line at a time. */
  readonly tell: (line: string) => void
  /** Shows what it waits for in the place of what it showed before; nothing where the text is empty. */
  readonly progress: (text: string) => void
}

const LOOK_MS = 500
const LONGEST_LOOK_MS = 5_000
/** The relay records the use of a secret at most once in this time (`ingest/secret-uses.ts`). */
const USE_RESOLUTION_MS = 1_000
/**
 * Ultravox tries an event for about 8.5 h. Whether it signs anew each time is not documented, so what failed before the
 * new secret was registered may come again with the old one alone.
 */
const RETRIED_FOR_MS = 9 * 3_600_000
/** How often the webhook's failures are read again while they keep the old secret from being retired. */
const REREAD_MS = 5 * 60_000
/** How the provider words a failure is not documented; the relay answers 401 to a signature that it cannot verify. */
const REJECTED = /\b40[13]\b|signature|unauthori[sz]ed|forbidden/i

/** How long after a change at Ultravox a webhook that was signed before may still arrive and be accepted. */
export function settleMs({ toleranceMs, overlapMs }: Pick<RotationPace, 'toleranceMs' | 'overlapMs'>): number {
  return toleranceMs + overlapMs + USE_RESOLUTION_MS
}

/**
 * Waits until the old secret is not needed any more: whatever was signed before the new one was registered has arrived,
 * a genuine event signed with the new one has come, and the old one alone is not in use. Until `hold`, it only waits for
 * the failures to be read again. `--after` bounds all of that but the first.
 */
export async function untilReplaced(rotation: RotationPace, state: RotationState, hold: number): Promise<void> {
  const { relay, clock, afterMs, pause, tell, progress } = rotation
  const registeredAt = state.registeredAt!
  // The failures that hold it may be gone sooner.
  const rereadAt = Math.min(hold, clock.now() + REREAD_MS)
  const settledAt = registeredAt + settleMs(rotation)
  const expiresAt = afterMs === null ? Number.POSITIVE_INFINITY : registeredAt + afterMs
  for (let isTold = false; ; isTold = true) {
    const now = clock.now()
    const uses = await relay.uses()
    const isUsed = uses.some((use) => isBy(use, [state.newSecret]))
    const quietAt = lastAlone(uses, state.oldSecrets, [state.newSecret]) + settleMs(rotation)
    const isExpired = now >= expiresAt
    const until = isExpired ? settledAt : Math.max(settledAt, quietAt, rereadAt)
    if (now >= until && (isUsed || isExpired)) {
      progress('')
      tell(`4 of 6: ${isUsed ? 'an event signed with the new secret has come' : `${duration(afterMs!)} are over`}`)
      return
    }
    if (!isTold) {
      const atMost = afterMs === null ? '' : `, until ${iso(Math.max(expiresAt, settledAt))} at most`
      tell(`4 of 6: waiting ${reasons(isUsed, now, until, hold)}${atMost}`)
    }
    progress(`for ${duration(now - registeredAt)}; Ctrl-C is safe, both secrets are good`)
    await pause(isUsed || isExpired ? nextLook(until - now) : LOOK_MS)
  }
}

/**
 * Until when the old secret must stay registered because of the webhook's failures; 0 where it need not. What failed
 * before the new secret was registered may come again, signed with the old one. What was rejected since may have been
 * signed with a secret that the relay does not know. Throws `provider_failed` for the latter once `--after` is over.
 */
export function retirementHold(rotation: RotationPace, state: RotationState, webhook: Webhook): number {
  const { clock, afterMs, despiteFailures } = rotation
  const registeredAt = state.registeredAt!
  const isExpired = afterMs !== null && clock.now() >= registeredAt + afterMs
  const retriedUntil = isExpired ? 0 : retriesEndAt(webhook, registeredAt + settleMs(rotation))
  // One whose time is unknown counts as new.
  const rejected = webhook.recentFailures
    .map(({ at, failure }) => ({ at: at ?? registeredAt, failure }))
    .filter(({ at, failure }) => at >= registeredAt && REJECTED.test(failure))
    .sort((a, b) => a.at - b.at)
  const last = rejected.at(-1)
  if (last === undefined || despiteFailures) return retriedUntil
  const heldUntil = Math.max(retriedUntil, last.at + RETRIED_FOR_MS)
  if (heldUntil <= clock.now()) return 0
  const what = oneLine(
    `Ultravox lists ${rejected.length === 1 ? 'a webhook' : `${rejected.length} webhooks`} rejected since the new secret was registered, the last at ${iso(last.at)}: ${last.failure}`,
  )
  if (isExpired) {
    throw new RelayError(
      'provider_failed',
      `${what}. The old secret stays registered, and both are good. See ultravox-relay rejections list; then run rotate-secret again to go on, with --despite-failures if they had another cause, or with --abort to go back`,
    )
  }
  rotation.tell(`4 of 6: held back until ${iso(heldUntil)} at most. ${what}. See rejections list`)
  return heldUntil
}

/**
 * When Ultravox tries nothing again that it first sent before `settledAt`, when the last webhook that may be signed with
 * the old secret alone had been sent; 0 where nothing failed.
 */
export function retriesEndAt({ recentFailures }: Pick<Webhook, 'recentFailures'>, settledAt: number): number {
  const before = recentFailures.map(({ at }) => at ?? settledAt).filter((at) => at <= settledAt)
  return before.length === 0 ? 0 : Math.max(...before) + RETRIED_FOR_MS
}

/**
 * Waits until the relay need not know secrets any more that Ultravox has ceased to sign with at `since`: whatever was
 * signed with them has arrived, and nothing has come for as long that was signed with none but them. True where there
 * was nothing to wait for. Throws `usage` where such events keep coming and `--after` is over.
 */
export async function untilUnused(
  rotation: RotationPace,
  { gone, kept, since, step }: { gone: readonly string[]; kept: readonly string[]; since: number; step: string },
): Promise<boolean> {
  const { relay, clock, afterMs, pause, tell, progress } = rotation
  const settledAt = since + settleMs(rotation)
  const expiresAt = afterMs === null ? Number.POSITIVE_INFINITY : settledAt + afterMs
  let isWarned = false
  for (let isTold = false; ; isTold = true) {
    const now = clock.now()
    const lastAt = lastAlone(await relay.uses(), gone, kept)
    const until = Math.max(settledAt, lastAt + settleMs(rotation))
    if (now >= until) {
      progress('')
      return !isTold
    }
    if (!isTold)
      tell(
        `${step}: webhooks signed with ${gone.join(' ')} are accepted until ${iso(until)}, for some may be under way`,
      )
    const keepComing = `events signed only with ${gone.join(' ')} keep coming, the last at ${iso(lastAt)}: per-call callbacks or batches may be signed with it. The relay goes on accepting it`
    if (now >= settledAt && lastAt > since + rotation.overlapMs) {
      if (now >= expiresAt)
        throw new RelayError('usage', `${keepComing}. Run rotate-secret again once they use another`)
      if (!isWarned) tell(`${step}: ${keepComing}`)
      isWarned = true
    }
    progress(`for ${duration(now - since)}; Ctrl-C is safe, the relay accepts both`)
    await pause(nextLook(until - now))
  }
}

/** When an event last came that was signed with some of `these` secrets and none of `others`; 0 where none did. */
function lastAlone(uses: readonly SecretUse[], these: readonly string[], others: readonly string[]): number {
  const alone = uses.filter((use) => isBy(use, these) && !isBy(use, others))
  return Math.max(0, ...alone.map(({ lastUsedAt }) => lastUsedAt))
}

function isBy({ fingerprint }: SecretUse, secrets: readonly string[]): boolean {
  return fingerprint.split(' ').some((each) => secrets.includes(each))
}

function nextLook(remainingMs: number): number {
  return Math.min(LONGEST_LOOK_MS, Math.max(LOOK_MS, remainingMs))
}

function reasons(isUsed: boolean, now: number, until: number, hold: number): string {
  const event = isUsed ? [] : ['for an event signed with the new secret']
  const retries = 'for what failed before may be sent again, signed with the old one (--after 0s does not wait)'
  if (now < hold) return [...event, `until ${iso(hold)}, ${retries}`].join(', and ')
  const arrival = 'for what was signed with the old one to arrive'
  return [...event, ...(now < until ? [`until ${iso(until)}, ${arrival}`] : [])].join(', and ')
}
