import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** What there is to say about the section on the provider's side, as far as other keys have to do with it. */
export function* checkUltravox({ ultravox, sources }: Draft): Iterable<Finding> {
  if (ultravox === undefined) return
  const { webhook, reconcile } = ultravox
  if (reconcile !== undefined && webhook === undefined && reconcile.source === undefined) {
    const message = 'does not say which source the events are for: add source, or ultravox.webhook with its source'
    yield { path: ['ultravox', 'reconcile'], message, at: 'key' }
  }
  if (webhook?.source !== undefined && reconcile?.source !== undefined && webhook.source !== reconcile.source) {
    const message = `is not the source that the webhook leads to, so every event would be recorded twice: write ${webhook.source}`
    yield { path: ['ultravox', 'reconcile', 'source'], message }
  }
  for (const [section, name] of [
    ['webhook', webhook?.source],
    ['reconcile', reconcile?.source],
  ] as const) {
    // Of sources that are missing altogether it is told elsewhere.
    if (name === undefined || sources.size === 0) continue
    const path = ['ultravox', section, 'source']
    if (!sources.has(name)) {
      yield { path, message: `there is no such source: write ${[...sources.keys()].join(' or ')}` }
    } else if (section === 'webhook' && sources.get(name)?.scheme === 'none') {
      const message = `sources.${name} verifies nothing (scheme: none): give it scheme: ultravox and its secrets`
      yield { path, message }
    }
  }
}
