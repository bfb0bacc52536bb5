import type { Clock } from '../domain/clock.ts'
import type { NewEvent, Payload } from '../domain/event.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'
import { Folding } from './folding.ts'
import { type Alert, payloadOf } from './relay-event.ts'
import type { Schedule } from './schedule.ts'
import { type RecordedAlert, Standings } from './standing.ts'

/** How long after an alert others like it are folded into one. */
const FOLDING_WINDOW_MS = 5 * 60_000
/** How soon after the first of several the next one says how many there are. */
const FIRST_WINDOW_MS = 15_000

export interface AlertsOptions {
  /** Records an event with one delivery for each of these targets, and sees to it that they go out. */
  readonly record: (event: NewEvent, targets: readonly string[]) => Promise<unknown>
  /** Names the targets that an event of a source goes to. */
  readonly route: (payload: Payload, source: string, eventId: string) => Promise<string[]>
  readonly newEventId: () => string
  readonly clock: Clock
  readonly schedule: Schedule
  readonly log: AlertsLog
}

export interface AlertsLog {
  /** The event could not be recorded. There is another try at the end of the folding window, unless the relay stops. */
  notRecorded(event: string, error: unknown): void
  /** Something could not be looked at; it is tried again. */
  unwatched(watch: string, error: unknown): void
}

export interface Alerts {
  /** Takes up what was raised before a restart, from the events on record, the oldest first. */
  resume(recorded: readonly RecordedAlert[]): void
  /** Raises an alert, now or folded with others; a problem only once until it ends. Never throws. */
  raise(alert: Alert): void
  /** Raises an alert that a problem is over, if it was raised and not yet ended. */
  recovered(alert: Alert): void
  /** Takes all that is wrong with one condition now, perhaps nothing, and raises what makes the last alert true. */
  report(problems: readonly Alert[], recovery: Alert): void
  /** Records what is folded at once, and takes no more. To be called before the outbox is closed. */
  stop(): Promise<void>
}

/** Makes ordinary events of alerts: routed, recorded and delivered like any other. */
export function createAlerts({ record, route, newEventId, clock, schedule, log }: AlertsOptions): Alerts {
  let before: Promise<unknown> = Promise.resolve()

  /** One after the other, so that they are recorded in the order in which they were raised. */
  function emit(...raised: Parameters<typeof recordOne>): Promise<boolean> {
    const recorded = before.then(() => recordOne(...raised))
    before = recorded
    return recorded
  }

  async function recordOne(alert: Alert, at: number, count: number): Promise<boolean> {
    try {
      // The time makes the body another one each time: without a call id, the body is the identity.
      const payload = payloadOf(alert, at, count)
      const eventId = newEventId()
      const targets = await route(payload, RELAY_SOURCE, eventId)
      const event: NewEvent = {
        eventId,
        source: RELAY_SOURCE,
        event: payload.event,
        callId: null,
        receivedAt: clock.now(),
        origin: 'relay',
        contentType: 'application/json',
        body: Buffer.from(JSON.stringify(payload)),
        // It may have been folded for minutes.
        ...(alert.quotes && {
          quotes: {
            eventId: alert.quotes.eventId,
            erasedBody: Buffer.from(JSON.stringify(payloadOf(erasedOf(alert, alert.quotes.erased), at, count))),
          },
        }),
      }
      await record(event, targets)
      return true
    } catch (error) {
      log.notRecorded(alert.event, error)
      return false
    }
  }

  function erasedOf({ deliveries }: Alert, erased: Alert): Alert {
    return { ...erased, ...(deliveries && { deliveries }) }
  }

  const folding = new Folding({ windowMs: FOLDING_WINDOW_MS, firstWindowMs: FIRST_WINDOW_MS, schedule, clock, emit })
  const standings = new Standings()
  const raise = (alert: Alert) => {
    if (standings.isNews(alert)) folding.raise(alert)
  }
  const recovered = (alert: Alert) => {
    if (standings.isRecovery(alert)) raise(alert)
  }
  return {
    resume: (recorded) => standings.resume(recorded),
    raise,
    recovered,
    report(problems, recovery) {
      if (problems.length === 0) return recovered(recovery)
      for (const alert of standings.toSay(problems)) folding.raise(alert)
    },
    stop: () => folding.stop(),
  }
}
