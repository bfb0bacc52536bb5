import {
  type CertificatePlace,
  certificateReloaded,
  certificateReloadFailed,
  certificateRenewed,
  lifetimeAlerts,
} from './alerts/certificate-events.ts'
import type { Alert } from './alerts/relay-event.ts'
import type { Watch } from './alerts/watches.ts'
import type { ServerTlsConfig } from './config/config.ts'
import { sameConfig } from './config/difference.ts'
import type { ConfigReader } from './config/reader.ts'
import type { Answers } from './config/reader-protocol.ts'
import { certificateOf, servingWarnings } from './config/server-tls.ts'
import type { CertificateFacts } from './domain/certificate.ts'
import type { Clock } from './domain/clock.ts'
import { errorMessage, RelayError } from './domain/errors.ts'

/** See `Alerts.report`. */
export type Report = (problems: readonly Alert[], recovery: Alert) => void

export interface CertificateWatchOptions {
  readonly reader: Pick<ConfigReader, 'ask'>
  /** Serves another certificate. Throws where OpenSSL rejects it, and then the previous one is still served. */
  readonly show: (certificate: ServerTlsConfig) => void
  /** Where clients are configured to reach the listener. */
  readonly hosts: readonly string[]
  /** Called after each look: why the files cannot be used, or null where what they hold is served. */
  readonly onLook: (problem: string | null) => void
  readonly clock: Clock
  readonly report: Report
  readonly log: CertificateLog
}

export interface CertificateLog {
  /** `warnings`: why clients may reject it all the same. */
  renewed(facts: CertificateFacts, warnings: readonly string[]): void
  /** What the files hold now cannot be used; the previous certificate is still served. Once for each problem. */
  unusable(problem: string): void
}

const PLACE = 'server.tls'
const EVERY_MS = 2_000
/** Looks after which files that cannot be used are more than a renewal that is half done. */
const LOOKS_BEFORE_ALERT = 5

/**
 * Serves a renewed certificate without a restart. Polls the files rather than watching them: renewals replace links to files
 * or their directories (certbot, Kubernetes), and a certificate and its key arrive at different moments. While the files
 * cannot be used they are read at each look, because a fix of permissions above them changes nothing about them.
 */
export function watchCertificate(
  tls: ServerTlsConfig,
  { reader, show, hosts, onLook, clock, report, log }: CertificateWatchOptions,
): Watch {
  let current = tls
  // It may have been renewed since the configuration was read, so the first look always reads the files.
  let seen: string | undefined
  let problem: string | null = null
  let looks = 0

  function serve(next: NonNullable<Answers['certificate']['next']>): string | null {
    if ('problem' in next) return next.problem
    if (sameConfig(next, current)) return null
    try {
      show(next)
    } catch (error) {
      return errorMessage(error)
    }
    current = next
    log.renewed(certificateOf(current.cert)!, servingWarnings(current, hosts, clock.now()))
    return null
  }

  return {
    name: 'certificate',
    everyMs: EVERY_MS,
    async check() {
      // Where they are as they were, they need not be read.
      const state = problem === null ? seen : undefined
      const found = await reader.ask('certificate', { tls: current, state, now: clock.now() }).catch(asProblem)
      if (found === null) return
      seen = found.state
      if (found.next === null) return
      const before = problem
      problem = serve(found.next)
      onLook(problem)
      const served = certificateOf(current.cert)!
      if (problem === null) {
        looks = 0
        return report([], certificateReloaded(PLACE, served))
      }
      if (problem !== before) log.unusable(problem)
      looks += 1
      if (looks >= LOOKS_BEFORE_ALERT)
        report([certificateReloadFailed(PLACE, problem, served)], certificateReloaded(PLACE, served))
    },
  }
}

export interface LifetimeWatchOptions {
  /** The certificates in use now. */
  readonly inUse: () => readonly { readonly place: CertificatePlace; readonly facts: CertificateFacts }[]
  readonly clock: Clock
  readonly report: Report
}

/** Reports certificates in use that expire soon or have expired. */
export function watchLifetimes({ inUse, clock, report }: LifetimeWatchOptions): Watch {
  return {
    name: 'certificate lifetimes',
    everyMs: 60_000,
    check() {
      for (const { place, facts } of inUse()) {
        report(lifetimeAlerts(place, facts, clock.now()), certificateRenewed(place, facts))
      }
    },
  }
}

/** Files that do not answer are a problem like any other; null where the relay is shutting down. */
function asProblem(error: unknown): Answers['certificate'] | null {
  if (error instanceof RelayError && error.code === 'daemon_unreachable') return null
  return { state: undefined, next: { problem: errorMessage(error) } }
}
