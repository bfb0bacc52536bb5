/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): by which trace a request belongs to, told by the header
 * `traceparent`, and what its sender's tracing system adds for itself, in `tracestate`.
 */
export interface TraceContext {
  /** 32 hex digits, not all zero. */
  readonly traceId: string
  /** 16 hex digits, not all zero: of the span that whoever reads this is a child of. */
  readonly spanId: string
  /** Bit 0: sampled, so somebody may have recorded the trace. Bit 1: its id is random. There are no others. */
  readonly flags: number
}

export const SAMPLED = 1

/** The flags that have a meaning; others have to be passed on as zero. */
const KNOWN_FLAGS = 0b11

// Of a version that is not known yet the first four fields count. No comma: that is how Node joins several headers.
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^,]*)?$/
const NO_TRACE_ID = '0'.repeat(32)
const NO_SPAN_ID = '0'.repeat(16)

/** Most that has to be passed on, in characters. */
const TRACESTATE_LIMIT = 512
/** Not only blanks, and fit for a header and an environment variable. */
const TRACESTATE = /^[\t ]*[\x21-\x7e][\t\x20-\x7e]*$/

// Where the fields begin and end in a traceparent of version 00, the only one that is written.
const TRACE_ID_AT = 3
const SPAN_ID_AT = 36
const FLAGS_AT = 53

/** Reads a `traceparent`; undefined where it has to be taken for none. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(text) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (traceId === NO_TRACE_ID || spanId === NO_SPAN_ID) return undefined
  const known = version === '00' ? KNOWN_FLAGS : SAMPLED
  return { traceId: traceId!, spanId: spanId!, flags: Number.parseInt(flags!, 16) & known }
}

/** As it is sent and stored. All functions below take such a text. */
export function formatTraceparent({ traceId, spanId, flags }: TraceContext): string {
  return `00-${traceId}-${spanId}-0${flags & KNOWN_FLAGS}`
}

/** The same trace, for what is a child of the span with this id. */
export function childTraceparent(traceparent: string, spanId: string): string {
  return `${traceparent.slice(0, SPAN_ID_AT)}${spanId}${traceparent.slice(FLAGS_AT - 1)}`
}

export function traceIdOf(traceparent: string): string {
  return traceparent.slice(TRACE_ID_AT, SPAN_ID_AT - 1)
}

export function spanIdOf(traceparent: string): string {
  return traceparent.slice(SPAN_ID_AT, FLAGS_AT - 1)
}

export function isSampled(traceparent: string): boolean {
  return (Number(traceparent.slice(FLAGS_AT)) & SAMPLED) !== 0
}

/** A `tracestate` as it is to be passed on, which is as it came; null for none, and for one that cannot be. */
export function parseTracestate(text: string | undefined): string | null {
  return text !== undefined && text.length <= TRACESTATE_LIMIT && TRACESTATE.test(text) ? text : null
}

/**
 * The share (0 to 1) of the traces that begin at the relay which are sampled. Without a `tracing` section all are: services follow
 * the flag, and would stop recording what they did before there was one.
 */
export function sampledShare(tracing: { readonly sampleRatio: number } | null): number {
  return tracing?.sampleRatio ?? 1
}

/**
 * Whether a trace is among the share (0 to 1) that is sampled. It hangs on the id alone, on the last 52 bits in the way
 * OpenTelemetry compares them, so that whoever samples by the same share picks the same traces.
 */
export function isAmong(share: number, traceId: string): boolean {
  return Number.parseInt(traceId.slice(-13), 16) / 2 ** 52 >= 1 - share
}
