import type { FastifyRequest } from 'fastify'
import type { Clock } from './domain/clock.ts'
import type { Delivery } from './domain/delivery.ts'
import type { NewEvent } from './domain/event.ts'
import type { Outcome } from './domain/outcome.ts'
import {
  childTraceparent,
  formatTraceparent,
  isSampled,
  parseTraceparent,
  parseTracestate,
  spanIdOf,
} from './domain/trace-context.ts'
import type { AppLog } from './ingest/app.ts'
import type { ReceiverOptions } from './ingest/receiver.ts'
import type { Recorded } from './outbox/outbox.ts'
import type { Target } from './targets/target.ts'
import { newSpanId, newTraceparent } from './trace-ids.ts'
import type { Tracing } from './tracing.ts'

type Record = (event: NewEvent, targets: readonly string[]) => Promise<Recorded>

/**
 * Takes up the trace that a request is part of, or begins one where its headers tell of none, or of one that is not to be
 * understood. What the sender has decided about sampling holds.
 */
export function takingUp({ sampleRatio }: Pick<Tracing, 'sampleRatio'>): ReceiverOptions['traceOf'] {
  return (traceparent, tracestate) => {
    const sent = traceparent === undefined ? undefined : parseTraceparent(traceparent)
    if (sent === undefined) return { traceparent: newTraceparent(sampleRatio), tracestate: null, parentId: null }
    return {
      traceparent: formatTraceparent({ ...sent, spanId: newSpanId() }),
      tracestate: parseTracestate(tracestate),
      parentId: sent.spanId,
    }
  }
}

/** What records an event; one that no request has brought, and so has no trace yet, begins one. */
export function tracedRecord(record: Record, tracing: Tracing, clock: Clock): Record {
  async function beginning(event: NewEvent, targets: readonly string[]): Promise<Recorded> {
    const traceparent = newTraceparent(tracing.sampleRatio)
    const startedAt = clock.now()
    const recorded = await record({ ...event, traceparent }, targets)
    if (!recorded.duplicate && isExported(traceparent, tracing)) {
      tracing.ended({
        name: 'record',
        kind: 'internal',
        traceparent,
        parentId: null,
        startedAt,
        endedAt: clock.now(),
        attributes: { ...aboutEvent(event), 'ultravox_relay.origin': event.origin },
        failed: false,
      })
    }
    return recorded
  }
  return (event, targets) => (event.traceparent === undefined ? beginning : record)(event, targets)
}

/** A log of requests; those that have brought an event become spans. What is refused is somebody's noise. */
export function tracedRequests(log: AppLog, tracing: Tracing, clock: Clock): AppLog {
  if (!tracing.exports) return log
  return {
    ...log,
    answered(request, reply) {
      log.answered(request, reply)
      const receipt = request.relayReceipt
      if (receipt?.kind !== 'recorded' || !isExported(receipt.trace.traceparent, tracing)) return
      const { trace, duplicate, targets } = receipt
      const endedAt = clock.now()
      tracing.ended({
        name: 'receive',
        kind: 'server',
        traceparent: trace.traceparent,
        parentId: trace.parentId,
        startedAt: endedAt - reply.elapsedTime,
        endedAt,
        attributes: {
          'http.request.method': request.method,
          'http.response.status_code': reply.statusCode,
          'url.path': pathOf(request),
          'url.scheme': request.protocol,
          ...aboutEvent({ ...receipt, source: request.relaySource!.name }),
          'ultravox_relay.duplicate': duplicate,
          'ultravox_relay.targets': targets.length,
        },
        failed: false,
      })
    },
  }
}

/** A target that is told of each attempt as a span of its own, a child of the event's. */
export function tracedTarget(target: Target, type: 'http' | 'slack' | 'exec', tracing: Tracing, clock: Clock): Target {
  return {
    name: target.name,
    close: () => target.close(),
    async send(delivery, signal, onSent) {
      const { event } = delivery
      if (event.traceparent == null) return target.send(delivery, signal, onSent)
      const traceparent = childTraceparent(event.traceparent, newSpanId())
      const attempt = { ...delivery, event: { ...event, traceparent } }
      if (!isExported(traceparent, tracing)) return target.send(attempt, signal, onSent)
      const startedAt = clock.now()
      const outcome = await target.send(attempt, signal, onSent)
      tracing.ended({
        name: 'deliver',
        kind: 'client',
        traceparent,
        parentId: spanIdOf(event.traceparent),
        startedAt,
        endedAt: clock.now(),
        attributes: { ...aboutEvent(event), ...aboutAttempt(delivery, type, outcome) },
        failed: isFailure(outcome),
      })
      return outcome
    },
  }
}

function isExported(traceparent: string, { exports }: Tracing): boolean {
  return exports && isSampled(traceparent)
}

function aboutEvent({ source, eventId, event, callId }: Pick<NewEvent, 'source' | 'eventId' | 'event' | 'callId'>) {
  return {
    'ultravox_relay.source': source,
    'ultravox_relay.event': event,
    'ultravox_relay.event_id': eventId,
    'ultravox_relay.call_id': callId ?? undefined,
  }
}

function aboutAttempt({ target, attempts }: Delivery, type: string, outcome: Outcome) {
  const status = outcome.kind === 'interrupted' ? undefined : outcome.status
  return {
    'ultravox_relay.target': target,
    'ultravox_relay.target_type': type,
    'ultravox_relay.attempt': attempts + 1,
    'ultravox_relay.outcome': outcome.kind,
    [type === 'exec' ? 'process.exit.code' : 'http.response.status_code']: status,
    'error.type': isFailure(outcome) ? errorType(outcome) : undefined,
  }
}

type Failure = Extract<Outcome, { kind: 'failed' | 'refused' }>

function isFailure(outcome: Outcome): outcome is Failure {
  return outcome.kind === 'failed' || outcome.kind === 'refused'
}

/** A status, or the word that an error begins with: what follows may be what a target said. */
function errorType({ status, error }: Failure): string {
  return status === undefined ? (/^[a-z][a-z -]{0,30}(?=:|$)/.exec(error)?.[0] ?? '_OTHER') : String(status)
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0]!
}
