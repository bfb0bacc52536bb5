import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import type { Webhook } from '../ultravox/client.ts'
import { duration, iso } from './instant.ts'
import { overwriteLine } from './output.ts'
import { note } from './printing.ts'
import { secretUses } from './relay-secrets.ts'
import type { RotationState } from './rotation-state.ts'

const LOOK_MS = 500
/**
 * Ultravox tries an event for about 8.5 h. Whether it signs anew each time is not documented, so what failed before the
 * new secret was registered may come again with the old one alone.
 */
const RETRIED_FOR_MS = 9 * 3_600_000

export interface Waiting {
  readonly config: Config
  readonly source: string
  readonly state: RotationState
  readonly webhook: Webhook
  readonly afterMs: number | null
  readonly signal: AbortSignal
}

/**
 * Waits until the old secret is not needed any more: a genuine event signed with the new one has come, and what failed
 * before is not tried again; or the given time is over. False where it was interrupted.
 */
export async function awaitUse(waiting: Waiting): Promise<boolean> {
  const { state, afterMs, signal } = waiting
  const registeredAt = state.registeredAt ?? systemClock.now()
  const until = afterMs === null ? Infinity : registeredAt + afterMs
  const retriedUntil = retriesEndAt(waiting.webhook, registeredAt)
  const progress = progressLine()
  try {
    for (let isTold = false; ; isTold = true) {
      const now = systemClock.now()
      const used = await isUsed(waiting)
      const isOver = used && now >= retriedUntil
      if (isOver || now >= until) {
        progress.end()
        note(`4 of 6: ${isOver ? 'an event signed with the new secret has come' : `${duration(afterMs!)} are over`}`)
        return true
      }
      const atMost = afterMs === null ? '' : `, until ${iso(until)} at most`
      if (!isTold) note(`4 of 6: waiting ${waitsFor(used, now, retriedUntil)}${atMost}`)
      progress.show(`for ${duration(now - registeredAt)}; Ctrl-C is safe, both secrets are good`)
      await sleep(LOOK_MS, undefined, { signal })
    }
  } catch (error) {
    progress.end()
    if (!signal.aborted) throw error
    note('interrupted: both secrets are good meanwhile; run rotate-secret again to go on, or with --abort to go back')
    return false
  }
}

/** When Ultravox tries nothing again that it first sent before the new secret was registered; 0 where nothing failed. */
export function retriesEndAt({ recentFailures }: Webhook, registeredAt: number): number {
  const before = recentFailures.map(({ at }) => at).filter((at) => at <= registeredAt)
  return before.length === 0 ? 0 : Math.max(...before) + RETRIED_FOR_MS
}

async function isUsed({ config, source, state }: Waiting): Promise<boolean> {
  const uses = await secretUses(config, source)
  return uses.some(({ fingerprint }) => fingerprint === state.newSecret)
}

function waitsFor(used: boolean, now: number, retriedUntil: number): string {
  const event = 'for an event signed with the new secret'
  if (now >= retriedUntil) return event
  const retries = `until ${iso(retriedUntil)}, for what failed before may be sent again, signed with the old one (--after 0s does not wait)`
  return used ? retries : `${event}, and ${retries}`
}

/** One line that changes, on a terminal; nothing elsewhere. */
function progressLine() {
  return { show: (text: string) => overwriteLine(text), end: () => overwriteLine('') }
}
