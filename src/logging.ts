import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { AlertsLog } from './alerts/alerts.ts'
import type { LaneLog } from './delivery/lane.ts'
import type { LanesLog } from './delivery/lanes.ts'
import { errorMessage } from './domain/errors.ts'
import type { AppLog } from './ingest/app.ts'

export type { Logger }

/** Most that may wait for a stdout that nobody reads, in bytes; lines beyond it are dropped, the relay goes on. */
const MOST_WAITING = 16 * 1024 * 1024

/** A logger, and how to have written what it was given. */
export interface Log {
  readonly logger: Logger
  /** Writes what waits, for up to a second: a stdout that nobody reads must not keep the relay from ending. */
  flush(): Promise<void>
}

/** JSON lines on stdout, written in the background: nothing waits for whoever reads them. */
export function createLog(): Log {
  const destination = pino.destination({ fd: 1, sync: false, maxLength: MOST_WAITING })
  const options = {
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  }
  return {
    logger: pino(options, destination),
    flush: () =>
      new Promise((resolve) => {
        setTimeout(resolve, 1_000).unref()
        destination.flush(() => resolve())
      }),
  }
}

/** One line per request. Bodies, headers and query strings are not in it: they hold other people's data. */
export function appLog(logger: Logger): AppLog {
  return {
    answered(request: FastifyRequest, reply: FastifyReply) {
      const fields = {
        source: request.relaySource?.name,
        method: request.method,
        path: request.url.split('?', 1)[0],
        status: reply.statusCode,
        peer: request.ip,
        ms: Math.round(reply.elapsedTime * 10) / 10,
      }
      const receipt = request.relayReceipt
      if (receipt?.kind === 'recorded') {
        const { kind: _, ...recorded } = receipt
        logger.info({ ...fields, ...recorded }, 'request answered')
      } else if (receipt?.kind === 'refused') {
        const { code, message, detail } = receipt
        logger.warn({ ...fields, reason: code, message, detail }, 'request refused')
      } else {
        // Somebody's health check, every few seconds for years.
        logger.debug(fields, 'request answered')
      }
    },
    failed(error) {
      logger.error({ err: error }, 'request failed')
    },
  }
}

/** One line per attempt. Answers are not in it; they are in the outbox, for those who may read it. */
export function laneLog(logger: Logger): LaneLog & LanesLog {
  return {
    attempted({ deliveryId, target, event: { eventId, event, callId } }, attempt, settlement) {
      const { outcome, attempt: number, durationMs, status, error } = attempt
      const dueAt = settlement.state === 'pending' ? new Date(settlement.dueAt).toISOString() : undefined
      const fields = {
        target,
        eventId,
        event,
        callId,
        deliveryId,
        attempt: number,
        outcome,
        status: status ?? undefined,
        error: error ?? undefined,
        ms: durationMs,
        state: settlement.state,
        dueAt,
      }
      if (outcome === 'delivered') logger.info(fields, 'delivery attempted')
      else logger.warn(fields, 'delivery attempted')
    },
    superseded({ deliveryId, target }) {
      logger.info({ target, deliveryId }, 'delivery changed during its attempt')
    },
    opened(target, probeAt) {
      logger.warn({ target, probeAt: new Date(probeAt).toISOString() }, 'target failing, breaker opened')
    },
    closed(target) {
      logger.info({ target }, 'target answers again, breaker closed')
    },
    orphaned(targets) {
      logger.warn({ targets }, 'deliveries wait for targets that are not configured')
    },
    outboxUnavailable(target, error) {
      logger.warn({ target, error: errorMessage(error) }, 'outbox unavailable to delivery')
    },
  }
}

/** What became of the relay's own events before they were any. */
export function alertsLog(logger: Logger): AlertsLog {
  return {
    notRecorded(event, error) {
      logger.warn({ event, error: errorMessage(error) }, 'relay event not recorded')
    },
    unwatched(watch, error) {
      logger.warn({ watch, error: errorMessage(error) }, 'watch failed')
    },
  }
}
