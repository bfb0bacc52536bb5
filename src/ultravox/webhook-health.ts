import type { WebhookProblem } from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { shownUrl } from './shown-url.ts'
import { candidatesFor, sameUrl, sharedSecrets, type WantedWebhook } from './webhook-difference.ts'

/** Characters of the provider's word for a failure that are told. */
const TOLD = 200

/** What is wrong with the webhook at the provider; nothing where it is as it should be. */
export function webhookProblems(wanted: WantedWebhook, registered: readonly Webhook[]): WebhookProblem[] {
  const [own] = candidatesFor(wanted, registered)
  if (own === undefined) {
    return [{ kind: 'missing', message: `Ultravox has no webhook to ${wanted.url}: run webhooks ensure.` }]
  }
  return [...problemsOf(wanted, own)]
}

function* problemsOf(wanted: WantedWebhook, own: Webhook): Iterable<WebhookProblem> {
  const { url } = wanted
  if (!sameUrl(own.url, url)) {
    const message = `The webhook ${own.webhookId} leads to ${shownUrl(own.url)}, not to ${url}: run webhooks ensure.`
    yield { kind: 'moved', message }
  }
  if (own.status === 'unhealthy') {
    // In which order they are listed is not documented.
    const last = own.recentFailures.toSorted((a, b) => a.at - b.at).at(-1)
    const why = last === undefined ? '' : `; its last failure at ${iso(last.at)}: ${last.failure.slice(0, TOLD)}`
    yield { kind: 'unhealthy', message: `Ultravox calls the webhook to ${url} unhealthy${why}` }
  }
  const absent = wanted.events.filter((event) => !own.events.includes(event))
  if (absent.length > 0) {
    const message = `The webhook to ${url} is not registered for ${absent.join(', ')}: run webhooks ensure.`
    yield { kind: 'events', message }
  }
  if (sharedSecrets(wanted, own).length === 0) {
    const message = `No secret of the webhook to ${url} is one of its source: all that it sends is refused. Run webhooks ensure.`
    yield { kind: 'secrets', message }
  }
}

function iso(instant: number): string {
  return new Date(instant).toISOString()
}
