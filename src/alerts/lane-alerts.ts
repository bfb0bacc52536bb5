import type { Attempt, Delivery, Settlement } from '../domain/delivery.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'
import { type Alert, deadDelivery, type OpeningFailure, targetClosed, targetOpened } from './relay-event.ts'

/** What is heard of the lanes; shaped as their log. */
export interface LaneAlerts {
  attempted(delivery: Delivery, attempt: Attempt, settlement: Settlement): void
  opened(target: string, probeAt: number, failure?: OpeningFailure): void
  closed(target: string): void
}

/** Raises what the lanes tell of, except the death of the relay's own events: alerts would beget alerts. */
export function laneAlerts(raise: (alert: Alert) => void): LaneAlerts {
  return {
    attempted(delivery, attempt, { state }) {
      if (state === 'dead' && delivery.event.source !== RELAY_SOURCE) raise(deadDelivery(delivery, attempt))
    },
    opened: (target, probeAt, failure) => raise(targetOpened(target, probeAt, failure)),
    closed: (target) => raise(targetClosed(target)),
  }
}

/** What goes to a log, and of that the troubles to the alerts as well. */
export function alsoRaised<L extends LaneAlerts>(log: L, alerts: LaneAlerts): L {
  return {
    ...log,
    attempted(...args) {
      log.attempted(...args)
      alerts.attempted(...args)
    },
    opened(...args) {
      log.opened(...args)
      alerts.opened(...args)
    },
    closed(...args) {
      log.closed(...args)
      alerts.closed(...args)
    },
  }
}
