import { concealer } from '../domain/concealer.ts'
import type { Secret } from '../domain/secret.ts'
import { withoutQueries } from './shown-url.ts'

/** The parts of a webhook that are needed here. */
interface FailingWebhook {
  readonly secrets: readonly Secret[]
  readonly recentFailures: readonly { readonly at: number | null; readonly failure: string }[]
}

/** Long texts are answers or traces; their beginning says enough. */
const LONGEST = 500
/** What is longer is cut before it is searched. */
const SEARCHED = 4_000

/**
 * A webhook with its failures as they may be shown. The provider's text can repeat what it sent and was answered: the
 * secrets it signs with and these ones are masked, users and queries of URLs left out, and control characters are spaces.
 */
export function withSafeFailures<W extends FailingWebhook>(webhook: W, secrets: readonly Secret[]): W {
  if (webhook.recentFailures.length === 0) return webhook
  const conceal = concealer([...secrets, ...webhook.secrets])
  const recentFailures = webhook.recentFailures.map(({ at, failure }) => ({
    at,
    failure: safe(conceal(failure.slice(0, SEARCHED))),
  }))
  return { ...webhook, recentFailures }
}

function safe(text: string): string {
  const line = withoutQueries(text)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line
}

/** The newest failure last; those whose time is unknown come first. In which order they are listed is not documented. */
export function byTime({ recentFailures }: Pick<FailingWebhook, 'recentFailures'>): FailingWebhook['recentFailures'] {
  return recentFailures.toSorted((a, b) => (a.at ?? 0) - (b.at ?? 0))
}
