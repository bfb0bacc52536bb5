import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { LaneLog } from './delivery/lane.ts'
import { errorMessage } from './domain/errors.ts'
import type { ListenerLog } from './ingest/listener.ts'

export type { Logger }

/** JSON lines on stdout, written at once: a crash loses no line that would explain it. */
export function createLogger(): Logger {
  return pino({ base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } })
}

/** One line per request. Bodies, headers and query strings are not in it: they hold other people's data. */
export function listenerLog(logger: Logger): ListenerLog {
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
export function laneLog(logger: Logger): LaneLog {
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
    outboxUnavailable(target, error) {
      logger.warn({ target, error: errorMessage(error) }, 'outbox unavailable to delivery')
    },
  }
}
