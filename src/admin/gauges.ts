import { Gauge, type Registry } from 'prom-client'
import type { ListedTarget } from '../documents/targets.ts'
import type { CertificateFacts } from '../domain/certificate.ts'
import { VERSION } from '../version.ts'

/** How things are at one moment. */
export interface Readings {
  readonly at: number
  /** Null where the outbox could not be asked. */
  readonly targets: readonly ListedTarget[] | null
  /** Since when the outbox exists, in epoch milliseconds. */
  readonly createdAt: number
  readonly bytes: number
  readonly walBytes: number
  readonly freeBytes: number
  readonly reserveBytes: number
  /** Absent where nothing speaks TLS. */
  readonly certificates?: CertificateReadings
}

export interface CertificateReadings {
  /** What the public listener shows to new connections; null without TLS. */
  readonly served: CertificateFacts | null
  readonly reloadFailed: boolean
  /** What targets are shown. */
  readonly clients: readonly { readonly target: string; readonly facts: CertificateFacts }[]
}

type Count = 'pending' | 'due' | 'backoff' | 'waiting' | 'held' | 'retrying' | 'dead'

/** What is shown of how things are: set as a whole, just before somebody reads it. */
export function createGauges(registry: Registry): (readings: Readings) => void {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `ultravox_relay_${name}`, help, labelNames, registers: [registry] })
  gauge('build_info', 'Which relay this is.', 'version').set({ version: VERSION }, 1)
  const deliveries: Record<Count, Gauge> = {
    pending: gauge('deliveries_pending', 'Deliveries that are not finished.', 'target'),
    due: gauge(
      'deliveries_due',
      "Of them, those that nothing but the target's limits keeps from being sent.",
      'target',
    ),
    backoff: gauge('deliveries_backoff', 'Of them, those that are due later, after a failed attempt.', 'target'),
    waiting: gauge('deliveries_waiting', 'Of them, those behind an earlier delivery of their call.', 'target'),
    held: gauge(
      'deliveries_held',
      'Of them, those behind a dead delivery of their call, until an operator retries or cancels that one.',
      'target',
    ),
    retrying: gauge('deliveries_retrying', 'Of them, those whose last attempt failed.', 'target'),
    dead: gauge('deliveries_dead', 'Deliveries that will not be tried again by themselves.', 'target'),
  }
  const oldestAge = gauge(
    'oldest_due_age_seconds',
    'For how long the oldest due delivery has been due; 0: none is.',
    'target',
  )
  const oldestHeldAge = gauge(
    'oldest_held_age_seconds',
    'For how long the longest waiting held delivery has been due; 0: none is held.',
    'target',
  )
  const breakerOpen = gauge(
    'target_breaker_open',
    '1 where the target keeps failing and is left alone for a time.',
    'target',
  )
  const throttled = gauge('target_throttled', '1 where the target has asked for a pause (429, Retry-After).', 'target')
  const paused = gauge('target_paused', '1 where an operator has paused the target.', 'target')
  const orphaned = gauge('deliveries_orphaned', 'Unfinished deliveries to targets that are not configured.')
  const up = gauge('outbox_up', '1 where the outbox could be asked about all this.')
  const created = gauge('outbox_created_timestamp_seconds', 'Since when the outbox exists.')
  const bytes = gauge('outbox_bytes', 'Size of the database.')
  const walBytes = gauge('outbox_wal_bytes', 'Size of its write-ahead log.')
  const free = gauge('disk_free_bytes', 'What may still be written where the outbox is.')
  const reserve = gauge('disk_reserve_bytes', 'What is to be left of that (outbox.reserve).')

  const certificate = {
    notBefore: gauge(
      'certificate_not_before_timestamp_seconds',
      'From when the certificate that the public listener serves is valid.',
    ),
    notAfter: gauge(
      'certificate_not_after_timestamp_seconds',
      'Until when the certificate that the public listener serves is valid.',
    ),
    reloadFailed: gauge(
      'certificate_reload_failed',
      '1 where the certificate files hold something that cannot be used, and the previous certificate is served.',
    ),
    clientNotBefore: gauge(
      'client_certificate_not_before_timestamp_seconds',
      'From when the client certificate of a target is valid.',
      'target',
    ),
    clientNotAfter: gauge(
      'client_certificate_not_after_timestamp_seconds',
      'Until when the client certificate of a target is valid.',
      'target',
    ),
  }

  function showCertificates({
    served = null,
    reloadFailed = false,
    clients = [],
  }: Partial<CertificateReadings> = {}): void {
    for (const each of Object.values(certificate)) each.reset()
    for (const each of [certificate.notBefore, certificate.notAfter, certificate.reloadFailed]) each.remove()
    if (served !== null) {
      certificate.notBefore.set(served.notBefore / 1_000)
      certificate.notAfter.set(served.notAfter / 1_000)
      certificate.reloadFailed.set(reloadFailed ? 1 : 0)
    }
    for (const { target, facts } of clients) {
      certificate.clientNotBefore.set({ target }, facts.notBefore / 1_000)
      certificate.clientNotAfter.set({ target }, facts.notAfter / 1_000)
    }
  }

  return (readings) => {
    showCertificates(readings.certificates)
    created.set(readings.createdAt / 1_000)
    bytes.set(readings.bytes)
    walBytes.set(readings.walBytes)
    free.set(readings.freeBytes)
    reserve.set(readings.reserveBytes)
    up.set(readings.targets === null ? 0 : 1)
    for (const each of [...Object.values(deliveries), oldestAge, oldestHeldAge, breakerOpen, throttled, paused])
      each.reset()
    // Nothing is better than what was once.
    orphaned.remove()
    if (readings.targets === null) return
    for (const each of readings.targets.filter(({ configured }) => configured)) {
      const { target, oldestDueAt, oldestHeldAt, breaker, throttle, pausedByConfig, pausedByCommand } = each
      for (const [name, gauge] of Object.entries(deliveries)) gauge.set({ target }, each[name as Count])
      const age = (since: number | null) => (since === null ? 0 : Math.max(0, readings.at - since) / 1_000)
      oldestAge.set({ target }, age(oldestDueAt))
      oldestHeldAge.set({ target }, age(oldestHeldAt))
      breakerOpen.set({ target }, breaker === null ? 0 : 1)
      throttled.set({ target }, throttle === null ? 0 : 1)
      paused.set({ target }, pausedByConfig || pausedByCommand ? 1 : 0)
    }
    // Under no name: what was configured once is more than what is.
    const others = readings.targets.filter(({ configured }) => !configured)
    orphaned.set(others.reduce((sum, { pending }) => sum + pending, 0))
  }
}
