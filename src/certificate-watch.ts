import { statSync } from 'node:fs'
import type { Watch } from './alerts/watches.ts'
import type { ServerTlsConfig } from './config/config.ts'
import { sameConfig } from './config/difference.ts'
import { renewed } from './config/server-tls.ts'

export interface CertificateWatchOptions {
  readonly show: (certificate: ServerTlsConfig) => void
  readonly log: CertificateLog
}

export interface CertificateLog {
  renewed(): void
  /** What the files hold now cannot be used; the certificate before is shown further. */
  unusable(problem: string): void
}

const EVERY_MS = 2_000

/**
 * Shows a renewed certificate without a restart. Looks at the files instead of being told by the system: what renews them
 * may replace a link to their folder, and be half done. Told once for each state that the files are in.
 */
export function watchCertificate(tls: ServerTlsConfig, { show, log }: CertificateWatchOptions): Watch {
  let current = tls
  // Since it was read with the configuration, it may have been renewed: the first look always reads it.
  let seen: string | undefined
  return {
    name: 'certificate',
    everyMs: EVERY_MS,
    check() {
      const state = stateOf(tls)
      if (state === seen) return
      seen = state
      const next = renewed(current)
      if ('problem' in next) return log.unusable(next.problem)
      if (sameConfig(next, current)) return
      show(next)
      current = next
      log.renewed()
    },
  }
}

/** Differs when a file has been written or replaced. */
function stateOf({ certFile, keyFile }: ServerTlsConfig): string {
  return [certFile, keyFile].map((file) => (file === null ? '' : written(file))).join(' ')
}

function written(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? 'gone' : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`
}
