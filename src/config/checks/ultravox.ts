import type { Draft, SoundAccount } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'
import { DEFAULT_ACCOUNT, defaultAccount } from '../provider-accounts.ts'
import { didYouMean } from '../suggestion.ts'

/** The accounts at the provider, as far as other keys are concerned. */
export function* checkUltravox(draft: Draft): Iterable<Finding> {
  const { ultravox, sources } = draft
  for (const account of ultravox) yield* checkAccount(account, draft)
  for (const [index, { account, path }] of ultravox.entries()) {
    if (account === undefined || ultravox.findIndex((each) => each.account === account) === index) continue
    yield { path: [...path, 'account'], message: 'is the name of another account in this list: give each its own' }
  }
  yield* checkAccountsOfSources(ultravox, sources)
}

function* checkAccountsOfSources(ultravox: Draft['ultravox'], sources: Draft['sources']): Iterable<Finding> {
  const names = ultravox.flatMap(({ account }) => account ?? [])
  if (names.length < ultravox.length) return
  for (const [name, source] of sources) {
    if (source.scheme !== 'ultravox' || !('account' in source)) continue
    const path = ['sources', name, 'account']
    if (source.account === undefined && names.length > 1 && !names.includes(DEFAULT_ACCOUNT)) {
      yield {
        path: ['sources', name],
        message: `belongs to which account? Add account: ${names.join(' or ')}`,
        at: 'key',
      }
    } else if (source.account !== undefined && names.length > 1 && !names.includes(source.account)) {
      yield {
        path,
        message: `is not the name of an account in ultravox${didYouMean(source.account, names) || `: there are ${names.join(', ')}`}`,
      }
    }
  }
}

function* checkAccount(account: Draft['ultravox'][number], { sources, ultravox }: Draft): Iterable<Finding> {
  const { webhook, reconcile, path: place } = account
  if (reconcile !== undefined && webhook === undefined && reconcile.source === undefined) {
    const message = 'does not say which source the events are for: add source, or ultravox.webhook with its source'
    yield { path: [...place, 'reconcile'], message, at: 'key' }
  }
  if (webhook?.source !== undefined && reconcile?.source !== undefined && webhook.source !== reconcile.source) {
    const message = `is not the source that the webhook leads to, so every event would be recorded twice: write ${webhook.source}`
    yield { path: [...place, 'reconcile', 'source'], message }
  }
  for (const [section, name] of [
    ['webhook', webhook?.source],
    ['reconcile', reconcile?.source],
  ] as const) {
    // Of sources that are missing altogether it is told elsewhere.
    if (name === undefined || sources.size === 0) continue
    const path = [...place, section, 'source']
    if (!sources.has(name)) {
      yield { path, message: `there is no such source: write ${[...sources.keys()].join(' or ')}` }
    } else if (section === 'webhook' && sources.get(name)?.scheme === 'none') {
      const message = `sources.${name} verifies nothing (scheme: none): give it scheme: ultravox and its secrets`
      yield { path, message }
    } else {
      yield* checkOwnSource(account, path, name, sources, ultravox)
    }
  }
}

function* checkOwnSource(
  { account }: SoundAccount,
  path: Path,
  name: string,
  sources: Draft['sources'],
  ultravox: Draft['ultravox'],
): Iterable<Finding> {
  const source = sources.get(name)
  if (account === undefined || source?.scheme !== 'ultravox' || !('account' in source)) return
  const owner = source.account ?? defaultAccount(ultravox.map((each) => ({ account: each.account ?? '' })))
  if (owner === account) return
  yield {
    path,
    message: `belongs to the account ${owner}, not to ${account}: write sources.${name}.account: ${account}, or another source`,
  }
}
