import type { Clock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { callIdOf, type NewEvent, type Payload } from '../domain/event.ts'
import { hasPassed, isLoop, parseVia, VIA_HEADER } from '../domain/via.ts'
import { readPayload } from '../expressions/bounded.ts'
import type { Outbox, Recorded } from '../outbox/outbox.ts'
import { explainedByEncoding } from './encoding.ts'
import { type Refusal, refusal, rejectionOf } from './refusal.ts'
import type { IncomingRequest, Source } from './source.ts'

/** What became of a request. `kept`: refused, but on record with its body, so that an operator can still admit it. */
export type Receipt = RecordedReceipt | Refusal

export interface RecordedReceipt {
  readonly kind: 'recorded'
  readonly eventId: string
  readonly event: string
  readonly callId: string | null
  readonly duplicate: boolean
  readonly targets: readonly string[]
  /** Of this request: a duplicate may be in another trace than the event on record. */
  readonly trace: RequestTrace
}

/** A request's place in a trace. */
export interface RequestTrace {
  /** Of what is done about it: whatever follows from the request is a child of this. */
  readonly traceparent: string
  readonly tracestate: string | null
  /** The id of the sender's span; null where the trace begins here. */
  readonly parentId: string | null
}

/** Records an event with one delivery for each of these targets; resolves once both are on disk. */
export type Recorder = (event: NewEvent, targets: readonly string[]) => Promise<Recorded>

export interface ReceiverOptions {
  readonly record: Recorder
  readonly reject: Outbox['reject']
  readonly clock: Clock
  /** Makes an id for a new event. */
  readonly newEventId: () => string
  /** Names the targets that an event of a source goes to; `eventId` is for the log. */
  readonly route: (payload: Payload, source: string, eventId: string) => Promise<string[]>
  /** This relay's id: what has passed through it is rejected. */
  readonly relayId: string
  /** Takes up the trace that headers tell of, or begins one. */
  readonly traceOf: (traceparent: string | undefined, tracestate: string | undefined) => RequestTrace
  /** Hears which secrets an event on record was signed with; nothing waits for it. */
  readonly secretsUsed: (source: string, fingerprints: readonly string[], at: number) => void
}

/** Takes a request all the way: verify, route, record. What it reports as recorded is on disk. Never throws `RelayError`. */
export type Receiver = (source: Source, request: IncomingRequest) => Promise<Receipt>

export function createReceiver(options: ReceiverOptions): Receiver {
  const { record, reject, clock, newEventId, route, relayId, traceOf, secretsUsed } = options

  async function take(source: Source, request: IncomingRequest): Promise<Receipt> {
    const receivedAt = clock.now()
    const verdict = request.judge(request.body, receivedAt)
    if (!verdict.genuine) return explainedByEncoding(request, { kind: 'refused', ...verdict })
    // Only what is proven: no header makes a difference for what is rejected anyway.
    const via = parseVia(request.header(VIA_HEADER))
    if (via !== null && isLoop(via, relayId)) {
      const message = 'the event has passed through this relay, or through too many others'
      return { ...refusal('loop_detected', message), signed: true, keeps: !hasPassed(via, relayId) }
    }
    const parsed = await readPayload(request.body)
    if ('problem' in parsed) {
      return explainedByEncoding(request, { ...refusal('payload_invalid', parsed.problem), signed: true })
    }
    const { payload } = parsed
    const trace = traceOf(request.header('traceparent'), request.header('tracestate'))
    const event: NewEvent = {
      eventId: newEventId(),
      source: source.name,
      account: source.account,
      event: payload.event,
      callId: callIdOf(payload),
      receivedAt,
      origin: 'webhook',
      contentType: request.contentType,
      body: request.body,
      traceparent: trace.traceparent,
      tracestate: trace.tracestate,
      via,
    }
    const targets = await route(payload, source.name, event.eventId)
    const { eventId, duplicate } = await record(event, targets)
    secretsUsed(source.name, verdict.signedWith, receivedAt)
    return { kind: 'recorded', eventId, event: event.event, callId: event.callId, duplicate, targets, trace }
  }

  return async (source, request) => {
    try {
      const receipt = await take(source, request)
      // Signed and refused: it is answered only once it is kept, for it may be the last time the provider sends it.
      if (receipt.kind === 'refused' && receipt.signed) {
        await reject(rejectionOf(source, request, receipt, clock.now(), request.body.byteLength))
      }
      return receipt
    } catch (error) {
      if (error instanceof RelayError) return unavailable(error)
      throw error
    }
  }
}

/** The storage's own words are for the log, not for the sender. */
function unavailable({ code, message: detail }: RelayError): Refusal {
  return code === 'overloaded'
    ? refusal(code, 'too many requests are waiting; send it again later', detail)
    : refusal('outbox_unavailable', 'it cannot be stored now; send it again later', detail)
}
