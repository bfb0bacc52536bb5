import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** What `src/tracing.ts` loads. */
const PACKAGES = [
  '@opentelemetry/api',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace',
]

/** They are optional dependencies: an installation with --omit=optional is a relay without them. Nothing is loaded here. */
export function* checkTracing({ tracing }: Draft): Iterable<Finding> {
  if (tracing === undefined) return
  const missing = PACKAGES.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  const message =
    `needs packages that are not installed: ${missing.join(', ')}. ` +
    'Install the relay without --omit=optional, or remove this section'
  yield { path: ['tracing'], message, at: 'key' }
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}
