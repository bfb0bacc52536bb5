import type { FastifyRequest } from 'fastify'
import type { Clock } from './domain/clock.ts'
import type { Delivery } from './domain/delivery.ts'
import type { NewEvent } from './domain/event.ts'
import type { Outcome } from './domain/outcome.ts'
import { MASK, type Secret } from './domain/secret.ts'
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
        error: null,
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
        name: `${request.method} ${request.relaySource!.path}`,
        kind: 'server',
        traceparent: trace.traceparent,
        parentId: trace.parentId,
        startedAt: endedAt - reply.elapsedTime,
        endedAt,
        attributes: {
          'http.request.method': request.method,
          'http.response.status_code': reply.statusCode,
          'http.route': request.relaySource!.path,
          'url.path': pathOf(request),
          'url.scheme': request.protocol,
          ...serverAddress(request),
          'client.address': request.relayPeer.address,
          'user_agent.original': request.headers['user-agent'],
          ...aboutEvent({ ...receipt, source: request.relaySource!.name }),
          'ultravox_relay.duplicate': duplicate,
          'ultravox_relay.targets': targets.length,
        },
        error: null,
      })
    },
  }
}

/** What spans say about where attempts go. */
export interface TracedDestination {
  readonly type: 'http' | 'slack' | 'exec'
  /** Null for programs. */
  readonly http: { readonly method: string; readonly url: Secret } | null
}

/** Makes each attempt a span of its own, a child of the event's, and tells the target its place in the trace. */
export function tracedTarget(
  target: Target,
  { type, http }: TracedDestination,
  tracing: Tracing,
  clock: Clock,
): Target {
  const request = http === null ? {} : aboutRequest(http)
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
        name: http?.method ?? 'deliver',
        kind: 'client',
        traceparent,
        parentId: spanIdOf(event.traceparent),
        startedAt,
        endedAt: clock.now(),
        attributes: { ...request, ...aboutEvent(event), ...aboutAttempt(delivery, type, outcome, startedAt) },
        error: isFailure(outcome) ? spanError(type, outcome) : null,
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

/** The URL of a request is a secret but for its origin. */
function aboutRequest({ method, url }: NonNullable<TracedDestination['http']>) {
  const { origin, protocol, hostname, port, pathname, search } = new URL(url.reveal())
  return {
    'http.request.method': method,
    'url.full': `${origin}/${pathname === '/' && search === '' ? '' : MASK}`,
    'server.address': hostname.replace(/^\[|\]$/g, ''),
    'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
  }
}

/** As the sender has addressed it. */
function serverAddress({ hostname, port, protocol }: FastifyRequest) {
  return { 'server.address': hostname, 'server.port': port ?? (protocol === 'https' ? 443 : 80) }
}

function aboutAttempt({ target, attempts, event }: Delivery, type: string, outcome: Outcome, startedAt: number) {
  const status = outcome.kind === 'interrupted' ? undefined : outcome.status
  return {
    'ultravox_relay.target': target,
    'ultravox_relay.target_type': type,
    'ultravox_relay.attempt': attempts + 1,
    'ultravox_relay.queue_time_ms': Math.max(0, Math.round(startedAt - event.receivedAt)),
    'ultravox_relay.outcome': outcome.kind,
    [type === 'exec' ? 'process.exit.code' : 'http.response.status_code']: status,
    ...(type !== 'exec' && attempts > 0 && { 'http.request.resend_count': attempts }),
    'error.type': isFailure(outcome) ? errorType(outcome) : undefined,
  }
}

type Failure = Extract<Outcome, { kind: 'failed' | 'refused' }>

function isFailure(outcome: Outcome): outcome is Failure {
  return outcome.kind === 'failed' || outcome.kind === 'refused'
}

/** Of a program, without what it has printed, which may be about the call. */
function spanError(type: string, { error }: Failure): string {
  return type === 'exec' ? error.split(':', 1)[0]! : error
}

/** A status, or the word that an error begins with: what follows may be what a target said. */
function errorType({ status, error }: Failure): string {
  return status === undefined ? (/^[a-z][a-z -]{0,30}(?=:|$)/.exec(error)?.[0] ?? '_OTHER') : String(status)
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0]!
}
