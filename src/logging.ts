import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { AdminLog } from './admin/app.ts'
import type { AlertsLog } from './alerts/alerts.ts'
import type { CertificateLog } from './certificate-watch.ts'
import type { LaneLog } from './delivery/lane.ts'
import type { LanesLog } from './delivery/lanes.ts'
import type { Attempt, Delivery } from './domain/delivery.ts'
import { errorMessage } from './domain/errors.ts'
import { withoutKeys } from './domain/secret.ts'
import { traceIdOf } from './domain/trace-context.ts'
import type { AppLog } from './ingest/app.ts'
import type { RecordedReceipt } from './ingest/receiver.ts'
import type { LauncherLog } from './targets/launcher.ts'
import type { TracingLog } from './tracing.ts'
import type { AttachmentsLog } from './ultravox/attachments.ts'
import { ProviderError } from './ultravox/provider-error.ts'
import type { ProviderNews } from './ultravox/provider-watch.ts'
import { totalOf } from './ultravox/reconciler.ts'
import type { ClockLog } from './upkeep/clock-watch.ts'
import type { DiskReserveLog } from './upkeep/disk-reserve.ts'
import type { RetentionLog } from './upkeep/retention-watch.ts'

export type { Logger }

/** The most lines of one kind that clients can cause at `warn` or above in a period. */
const MOST_LINES = 30
const LINES_PERIOD_MS = 60_000
/** Of failed handshakes for one reason: port scanners cause them all day, and they look alike. */
const MOST_HANDSHAKE_LINES = 3

/**
 * Lines that any client can cause. Of each kind only the first ones of a period are written as they are; the others are at `debug`,
 * and one line at the end of the period counts them, so that nobody fills a disk, or hides something, with them.
 */
class BoundedLines {
  readonly #logger: Logger
  readonly #periodMs: number
  readonly #most: number
  readonly #written = new Map<string, number>()

  constructor(logger: Logger, periodMs: number, most = MOST_LINES) {
    this.#logger = logger
    this.#periodMs = periodMs
    this.#most = most
  }

  /** `kind`: of a small fixed set, nothing that clients choose. */
  write(level: 'warn' | 'error', kind: Readonly<Record<string, string>>, fields: object, message: string): void {
    const key = JSON.stringify([message, kind])
    const written = (this.#written.get(key) ?? 0) + 1
    this.#written.set(key, written)
    if (written === 1) setTimeout(() => this.#end(level, key, kind, message), this.#periodMs).unref()
    const atLevel = written > this.#most ? 'debug' : level
    this.#logger[atLevel](fields, message)
  }

  #end(level: 'warn' | 'error', key: string, kind: Readonly<Record<string, string>>, line: string): void {
    const suppressed = this.#written.get(key)! - this.#most
    this.#written.delete(key)
    if (suppressed <= 0) return
    this.#logger[level]({ ...kind, line, suppressed, periodMs: this.#periodMs }, 'log lines suppressed')
  }
}

/** One line per request, those of rejected ones bounded. Bodies, headers and query strings are not in it: they hold other people's data. */
export function appLog(logger: Logger, periodMs = LINES_PERIOD_MS): AppLog {
  const lines = new BoundedLines(logger, periodMs)
  const handshakes = new BoundedLines(logger, periodMs, MOST_HANDSHAKE_LINES)
  return {
    answered(request: FastifyRequest, reply: FastifyReply) {
      const receipt = request.relayReceipt
      if (receipt?.kind === 'recorded') return recorded(logger, request, reply, receipt)
      const fields = {
        source: request.relaySource?.name,
        ...requestFields(request, request.relaySource !== null),
        ...answerFields(request.relayPeer.address, reply),
      }
      if (receipt?.kind === 'refused') {
        const { code, message, detail } = receipt
        const kind = { reason: code, ...(request.relaySource && { source: request.relaySource.name }) }
        lines.write('warn', kind, { ...fields, reason: code, message, detail }, 'request refused')
      } else {
        // Somebody's health check, every few seconds for years.
        logger.debug(fields, 'request answered')
      }
    },
    failed(error, request) {
      const fields = { source: request.relaySource?.name, ...requestFields(request, request.relaySource !== null) }
      lines.write('error', {}, { ...fields, err: error }, 'request failed')
    },
    unreadable({ asked, ...request }) {
      // What asks for nothing is a health check of a load balancer, or somebody who looks which ports are open.
      const setting = request.reason === 'headers_too_large' ? 'server.maxHeaderSize' : undefined
      const fields = { ...request, setting }
      if (asked) lines.write('warn', {}, fields, 'request unreadable')
      else logger.debug(fields, 'request unreadable')
    },
    handshakeFailed({ reason, problem, peer, hint }) {
      const fields = { reason, problem, peer, ...(hint !== null && { hint }) }
      // Health checks and port scanners break off, or wait.
      if (reason === 'disconnected' || reason === 'timeout') logger.debug(fields, 'tls handshake failed')
      else handshakes.write('warn', { reason }, fields, 'tls handshake failed')
    },
  }
}

/** There is such a line of every event. Written out: spreading objects was 4 % of all that is done for one. */
function recorded(logger: Logger, request: FastifyRequest, reply: FastifyReply, receipt: RecordedReceipt): void {
  logger.info(
    {
      source: request.relaySource!.name,
      requestId: request.id,
      method: request.method,
      path: request.relaySource!.path,
      status: reply.statusCode,
      peer: request.relayPeer.address,
      ms: rounded(reply.elapsedTime),
      eventId: receipt.eventId,
      event: receipt.event,
      callId: receipt.callId,
      duplicate: receipt.duplicate,
      targets: receipt.targets,
      traceId: traceIdOf(receipt.trace.traceparent),
    },
    'request answered',
  )
}

/** What operators have done over HTTP; what they have only looked at is told to nobody who does not ask for it. */
export function adminLog(logger: Logger, periodMs = LINES_PERIOD_MS): AdminLog {
  const lines = new BoundedLines(logger, periodMs)
  return {
    answered(request, reply) {
      const { method } = request
      const fields = { ...requestFields(request, !request.is404), ...answerFields(request.ip, reply) }
      if (reply.statusCode === 401 || reply.statusCode === 403) {
        lines.write('warn', {}, fields, 'admin request refused')
      } else logger[method === 'POST' ? 'info' : 'debug'](fields, 'admin request answered')
    },
    failed(error, request) {
      lines.write('error', {}, { ...requestFields(request, !request.is404), err: error }, 'admin request failed')
    },
    unreadable(request) {
      const setting = request.status === 431 ? 'server.maxHeaderSize' : undefined
      lines.write('warn', {}, { ...request, setting }, 'admin request unreadable')
    },
  }
}

/** Where nothing is at a path, somebody may have put a secret into it. */
function requestFields({ id, method, url }: FastifyRequest, isKnown: boolean) {
  const path = url.split('?', 1)[0]!
  return { requestId: id, method, path: isKnown ? path : path.split('/').map(withoutKeys).join('/') }
}

function answerFields(peer: string, { statusCode, elapsedTime }: FastifyReply) {
  return { status: statusCode, peer, ms: rounded(elapsedTime) }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}

/** Longest list of events in a line. */
const LISTED = 20

/** While the outbox is unavailable, how often that is logged. */
const OUTAGE_EVERY_MS = 30_000

/** Written out: there is such a line of every attempt, and spreading objects was 1 % of all that is done for one. */
function attemptFields(
  { deliveryId, target, event: { eventId, event, callId, traceparent } }: Delivery,
  made: Attempt,
  { state, dueAt, settled }: { state?: string; dueAt?: string | undefined; settled?: string },
) {
  const { outcome, attempt, durationMs, status, error, note } = made
  return {
    target,
    eventId,
    event,
    callId,
    deliveryId,
    attempt,
    outcome,
    status: status ?? undefined,
    error: error ?? undefined,
    note: note ?? undefined,
    ms: durationMs,
    traceId: traceparent == null ? undefined : traceIdOf(traceparent),
    state,
    dueAt,
    settled,
  }
}

/** One line per attempt. Answers are not in it; they are in the outbox, for those who may read it. */
export function laneLog(logger: Logger, outageEveryMs = OUTAGE_EVERY_MS): LaneLog & LanesLog {
  return {
    attempted(delivery, attempt, settlement) {
      const { outcome, note } = attempt
      const dueAt = settlement.state === 'pending' ? new Date(settlement.dueAt).toISOString() : undefined
      const fields = attemptFields(delivery, attempt, { state: settlement.state, dueAt })
      if (outcome === 'delivered' && note === null) logger.info(fields, 'delivery attempted')
      else logger.warn(fields, 'delivery attempted')
    },
    superseded(delivery, attempt, settled) {
      const fields = attemptFields(delivery, attempt, { settled })
      if (settled === 'gone') logger.warn(fields, 'attempt not recorded, delivery no longer on record')
      else logger.info(fields, 'delivery changed during its attempt')
    },
    opened(target, probeAt) {
      logger.warn({ target, probeAt: new Date(probeAt).toISOString() }, 'target failing, breaker opened')
    },
    throttled(target, until) {
      logger.warn({ target, until: new Date(until).toISOString() }, 'target throttled')
    },
    closed(target) {
      logger.info({ target }, 'target answers again, breaker closed')
    },
    orphaned(targets) {
      logger.warn({ targets }, 'deliveries wait for targets that are not configured')
    },
    outboxUnavailable: outageLog(logger, outageEveryMs),
    unrecorded({ deliveryId, target, event: { eventId, event, callId } }, error) {
      const fields = { target, eventId, event, callId, deliveryId, error: errorMessage(error) }
      logger.error(fields, 'attempt cannot be recorded, delivery held until a restart')
    },
    misbehaved(target, error, delivery) {
      const of = { eventId: delivery?.event.eventId, deliveryId: delivery?.deliveryId }
      logger.error({ target, ...of, err: error }, 'target failed unexpectedly')
    },
  }
}

/**
 * Logs the first failure of an outage at once and then a summary per interval, until one has passed without a failure: every
 * lane and every delivery whose attempt is not recorded tries again each second.
 */
function outageLog(logger: Logger, everyMs: number): LaneLog['outboxUnavailable'] {
  interface Interval {
    failures: number
    readonly targets: Set<string>
    readonly deliveries: Set<number>
    error: string
  }
  let interval: Interval | undefined

  function begin(error: string): void {
    interval = { failures: 0, targets: new Set(), deliveries: new Set(), error }
    setTimeout(end, everyMs).unref()
  }

  function end(): void {
    const { failures, targets, deliveries, error } = interval!
    interval = undefined
    if (failures === 0) {
      logger.info('outbox available to delivery again')
      return
    }
    const fields = { failures, targets: [...targets], unrecorded: deliveries.size, error }
    logger.warn(fields, 'outbox still unavailable to delivery')
    begin(error)
  }

  return (target, error, delivery) => {
    if (interval === undefined) {
      const of = { eventId: delivery?.event.eventId, deliveryId: delivery?.deliveryId }
      logger.warn({ target, ...of, error: errorMessage(error) }, 'outbox unavailable to delivery')
      begin(errorMessage(error))
      return
    }
    interval.failures += 1
    interval.error = errorMessage(error)
    interval.targets.add(target)
    if (delivery !== undefined) interval.deliveries.add(delivery.deliveryId)
  }
}

/** Redacted paths that have led to nothing: perhaps they are misspelt, and what they were to take out is sent. */
export function unmatchedLog(
  logger: Logger,
): (target: string, path: string, count: number, events: readonly string[]) => void {
  return (target, path, count, events) => {
    logger.warn({ target, path, eventsSeen: count, events }, 'redact path has matched nothing')
  }
}

/** What is told of attachments beside the attempts, which tell of those that could not be fetched. */
export function attachmentsLog(logger: Logger): AttachmentsLog {
  return {
    callGone({ eventId, event, callId }) {
      logger.warn({ eventId, event, callId }, 'provider has no such call, null attached as its transcript')
    },
    waitEnded({ eventId, event, callId }, attachment, error) {
      logger.warn({ eventId, event, callId, attachment, error }, 'attachment unavailable, null attached in its place')
    },
    notRemoved(error) {
      logger.warn({ error }, 'recordings not removed')
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

/** What is told of the upkeep of the outbox. */
export function launcherLog(logger: Logger): LauncherLog {
  return {
    cannotStart(problem) {
      logger.error({ problem }, 'process that starts hooks cannot be started')
    },
    silent(pid) {
      logger.warn({ pid }, 'process that starts hooks does not answer, sent SIGCONT')
    },
    killed(pid) {
      logger.error({ pid }, 'process that starts hooks does not answer, killed')
    },
  }
}

export function upkeepLog(logger: Logger): DiskReserveLog & RetentionLog & ClockLog {
  return {
    refusing(freeBytes, reserveBytes) {
      logger.warn({ freeBytes, reserveBytes }, 'disk below outbox.reserve, events are refused')
    },
    taking(freeBytes) {
      logger.info({ freeBytes }, 'disk above outbox.reserve again, events are taken')
    },
    pruned(removed) {
      logger.info(removed, 'outbox pruned')
    },
    retentionHeld({ offMs }, confirmedAfterMs) {
      logger.warn({ clockOffMs: offMs, confirmedAfterMs, command: 'clock confirm' }, 'clock was set, retention held')
    },
    retentionResumed() {
      logger.info('clock confirmed or set back, retention resumed')
    },
    full(excessBytes, maxSizeBytes) {
      logger.warn({ excessBytes, maxSizeBytes }, 'outbox larger than outbox.maxSize, nothing left to remove')
    },
  }
}

/** What is heard of the provider's side, for one source. */
export function providerLog(logger: Logger, source: string): ProviderNews {
  return {
    swept(findings) {
      const { calls } = findings
      const fields = { source, calls, missing: totalOf(findings, 'missing'), recorded: totalOf(findings, 'recorded') }
      if (fields.missing > 0) logger.info(fields, 'calls reconciled')
      else logger.debug(fields, 'calls reconciled')
    },
    unreadable({ list, count, callId, field, problem }) {
      logger.warn({ source, list, count, callId, field, problem }, 'calls at Ultravox cannot be read')
    },
    readable() {
      logger.info({ source }, 'all calls at Ultravox can be read again')
    },
    gaps({ count, events }) {
      logger.warn({ source, count, events: events.slice(0, LISTED) }, 'events lost: their calls were deleted')
    },
    silent(since, { count }) {
      const fields = { source, since: new Date(since).toISOString(), missed: count }
      logger.warn(fields, 'no webhooks come, though there are calls')
    },
    webhookProblem({ kind, message }) {
      logger.warn({ source, kind, problem: message }, 'webhook at Ultravox not as it should be')
    },
    webhookRestored() {
      logger.info({ source }, 'webhook at Ultravox as it should be again')
    },
    webhookChecked() {},
    failing() {},
    failed(error) {
      const what = error instanceof ProviderError ? 'Ultravox could not be asked' : 'reconciliation failed'
      logger.warn({ source, error: errorMessage(error) }, what)
    },
  }
}

export function tracingLog(logger: Logger): TracingLog {
  return {
    notExported(lost, error) {
      logger.warn({ spans: lost, error }, 'spans not exported')
    },
  }
}

export function certificateLog(logger: Logger): CertificateLog {
  return {
    renewed({ subject, names, notAfter }, warnings) {
      const fields = { subject, names, notAfter: new Date(notAfter).toISOString() }
      if (warnings.length === 0) logger.info(fields, 'certificate renewed')
      else logger.warn({ ...fields, warnings }, 'certificate renewed, clients may reject it')
    },
    unusable(problem) {
      logger.error({ problem }, 'renewed certificate cannot be used, the one before is shown further')
    },
  }
}
