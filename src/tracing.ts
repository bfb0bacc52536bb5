import type { HrTime, SpanOptions } from '@opentelemetry/api'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { TracingConfig } from './config/config.ts'
import { type Stopwatch, systemStopwatch } from './domain/clock.ts'
import { errorMessage } from './domain/errors.ts'
import { sampledShare, spanIdOf, traceIdOf } from './domain/trace-context.ts'
import { OutgoingAgent } from './outgoing/agent.ts'
import { VERSION } from './version.ts'

/** Something the relay has done, as part of a trace that is sampled. */
export interface Span {
  /** Of HTTP, the method and the route, as its semantic conventions want it; `record`: an event that no request has brought. */
  readonly name: string
  readonly kind: 'server' | 'internal' | 'client'
  /** Of which trace it is, and its own id. */
  readonly traceparent: string
  /** Null where the trace begins with it. */
  readonly parentId: string | null
  /** Epoch milliseconds, perhaps with a fraction. */
  readonly startedAt: number
  readonly endedAt: number
  /** Those that are undefined are left out. Never a body, a header or a secret. */
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>
  /** Null where it has not failed. */
  readonly error: string | null
}

/** Where spans go. */
export interface Tracing {
  /** Whether they go anywhere. */
  readonly exports: boolean
  /** The share of traces that begin at the relay which are sampled. */
  readonly sampleRatio: number
  /** Takes a span that has ended. Never throws, and nothing waits for it. */
  ended(span: Span): void
  /** Sends what has not been sent yet, for no longer than two seconds. Never rejects. */
  close(): Promise<void>
}

export interface TracingLog {
  /** Spans could not be sent and are lost. Told once a minute at most; `lost`: since it was told before. */
  notExported(lost: number, error: string): void
}

/** How long spans wait for others to be sent together. */
const BATCH_DELAY_MS = 1_000
const BATCH_SIZE = 512
/** More than so many do not wait to be sent: further ones are dropped. */
const MOST_WAITING = 2_048
/** For one batch, attempts to send it again included. */
const EXPORT_TIMEOUT_MS = 10_000
const FLUSH_LIMIT_MS = 2_000
const TOLD_EVERY_MS = 60_000
/** Longest value of an attribute: names of events are whatever somebody signed. */
const VALUE_LIMIT = 256

const OFF: Tracing = { exports: false, sampleRatio: sampledShare(null), ended() {}, async close() {} }

/**
 * Exports spans as a configuration wants it. Only then are the packages of OpenTelemetry loaded, which may not be
 * installed; `config/checks/tracing.ts` has looked. Nothing of theirs is registered globally: no instrumentation, no
 * context that follows calls around, since every span here is known whole when it ends.
 */
export async function openTracing(config: TracingConfig | null, log: TracingLog): Promise<Tracing> {
  if (config === null) return OFF
  const [api, sdk, { defaultResource, resourceFromAttributes }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ])
  const { url, serviceName, sampleRatio } = config
  const headers = Object.fromEntries(Object.entries(config.headers).map(([name, value]) => [name, value.reveal()]))
  let agent: OutgoingAgent | undefined
  const exporter = new OTLPTraceExporter({
    url,
    headers,
    timeoutMillis: EXPORT_TIMEOUT_MS,
    // A batch a second at most is worth a connection of its own, which follows a collector whose name moves.
    httpAgentOptions: (protocol) => {
      agent = new OutgoingAgent(protocol, EXPORT_TIMEOUT_MS)
      return agent
    },
  })
  // The ids are made long before the span is: the target has been told them.
  const ids = { traceId: '', spanId: '' }
  const told = telling(exporter, log, systemStopwatch)
  const provider = new sdk.TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': serviceName, 'service.version': VERSION }),
    ),
    sampler: new sdk.AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
    spanLimits: { attributeValueLengthLimit: VALUE_LIMIT },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: told,
        scheduledDelayMillis: BATCH_DELAY_MS,
        maxExportBatchSize: BATCH_SIZE,
        maxQueueSize: MOST_WAITING,
        exportTimeoutMillis: 2 * EXPORT_TIMEOUT_MS,
      }),
    ],
  })
  const tracer = provider.getTracer('ultravox-relay', VERSION)
  const kinds = { server: api.SpanKind.SERVER, internal: api.SpanKind.INTERNAL, client: api.SpanKind.CLIENT }

  function parentOf({ parentId }: Span) {
    if (parentId === null) return api.ROOT_CONTEXT
    const parent = { traceId: ids.traceId, spanId: parentId, traceFlags: api.TraceFlags.SAMPLED, isRemote: true }
    return api.trace.setSpanContext(api.ROOT_CONTEXT, parent)
  }

  return {
    exports: true,
    sampleRatio,
    ended(span) {
      told.ended()
      ids.traceId = traceIdOf(span.traceparent)
      ids.spanId = spanIdOf(span.traceparent)
      const options: SpanOptions = { kind: kinds[span.kind], startTime: hrTime(span.startedAt) }
      const made = tracer.startSpan(span.name, options, parentOf(span))
      for (const [name, value] of Object.entries(span.attributes)) {
        if (value !== undefined) made.setAttribute(name, value)
      }
      if (span.error !== null) {
        made.setStatus({ code: api.SpanStatusCode.ERROR, message: span.error.slice(0, VALUE_LIMIT) })
      }
      made.end(hrTime(Math.max(span.startedAt, span.endedAt)))
    },
    async close() {
      let limit: NodeJS.Timeout | undefined
      const flushed = provider.shutdown().catch(() => {})
      const late = new Promise<void>((resolve) => {
        limit = setTimeout(resolve, FLUSH_LIMIT_MS)
      })
      await Promise.race([flushed, late])
      clearTimeout(limit)
      agent?.destroy()
      told.close()
    },
  }
}

/**
 * An exporter whose failures are told of: the SDK keeps them to itself. It also drops, without a word, what does not fit into
 * its queue; how many that were is known at the end, from what had ended.
 */
function telling(exporter: SpanExporter, log: TracingLog, stopwatch: Stopwatch) {
  let outstanding = 0
  let lost = 0
  let toldAt = Number.NEGATIVE_INFINITY

  function failed(spans: number, error: unknown): void {
    lost += spans
    if (stopwatch() - toldAt < TOLD_EVERY_MS) return
    log.notExported(lost, errorMessage(error))
    lost = 0
    toldAt = stopwatch()
  }

  return {
    ended() {
      outstanding += 1
    },
    close() {
      const left = outstanding + lost
      if (left > 0) log.notExported(left, 'not taken before the relay ended')
    },
    export(spans, done) {
      exporter.export(spans, (result) => {
        outstanding -= spans.length
        if (result.code !== 0) failed(spans.length, result.error)
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  } satisfies SpanExporter & { ended(): void; close(): void }
}

/** Seconds and nanoseconds: a plain number, the SDK would take for either of two clocks. */
function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)]
}
