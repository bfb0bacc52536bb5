import type { Counts } from './admin/counts.ts'
import type { LaneLog } from './delivery/lane.ts'
import type { Clock } from './domain/clock.ts'
import type { NewEvent } from './domain/event.ts'
import type { AppLog } from './ingest/app.ts'
import type { UnknownPathRequest } from './ingest/unknown-paths.ts'
import type { Recorded } from './outbox/outbox.ts'
import type { ProviderNews } from './ultravox/provider-watch.ts'

type Record = (event: NewEvent, targets: readonly string[]) => Promise<Recorded>

/** What records an event, and then counts it. */
export function countedRecord(record: Record, counts: Counts): Record {
  return async (event, targets) => {
    const recorded = await record(event, targets)
    counts.recorded(event, recorded.duplicate)
    return recorded
  }
}

/** What goes to a log, counted. */
export function countedLanes<L extends Pick<LaneLog, 'attempted' | 'superseded'>>(log: L, counts: Counts): L {
  return {
    ...log,
    attempted(delivery, attempt, settlement) {
      log.attempted(delivery, attempt, settlement)
      counts.attempted(delivery, attempt)
    },
    superseded(delivery, attempt, settled) {
      log.superseded(delivery, attempt, settled)
      counts.attempted(delivery, attempt)
    },
  }
}

/** See `countedLanes`. */
export function countedRequests(log: AppLog, counts: Counts): AppLog {
  return {
    ...log,
    answered(request, reply) {
      log.answered(request, reply)
      const { relayReceipt, relaySource } = request
      if (relayReceipt?.kind === 'refused') counts.refused(relaySource?.name ?? null, relayReceipt.code)
    },
    handshakeFailed(failure) {
      log.handshakeFailed(failure)
      counts.handshakeFailed(failure.reason)
    },
    unreadable(request) {
      log.unreadable(request)
      if (request.asked) counts.refused(null, request.reason)
    },
  }
}

/** Reports requests to paths that nothing listens on. */
export function withUnknownPaths(log: AppLog, note: (request: UnknownPathRequest) => void, clock: Clock): AppLog {
  return {
    ...log,
    answered(request, reply) {
      log.answered(request, reply)
      const { relayReceipt, relaySource, method, url, relayPeer, headers } = request
      if (relaySource !== null || relayReceipt?.kind !== 'refused' || relayReceipt.code !== 'not_found') return
      const isSigned = Object.keys(headers).some((name) => name.startsWith('x-ultravox-webhook-'))
      note({ method, path: url.split('?', 1)[0]!, peer: relayPeer.address, isSigned, at: clock.now() })
    },
  }
}

/** See `countedLanes`. */
export function countedNews(news: ProviderNews, source: string, counts: Counts): ProviderNews {
  return {
    ...news,
    swept(findings, unreadable, complete) {
      news.swept(findings, unreadable, complete)
      if (complete) counts.reconciled(source, 'completed')
      counts.unreadableCalls(
        source,
        unreadable.reduce((sum, { count }) => sum + count, 0),
      )
    },
    failed(error) {
      news.failed(error)
      counts.reconciled(source, 'failed')
    },
    gaps(gaps) {
      news.gaps(gaps)
      counts.gaps(source, gaps.count)
    },
  }
}
