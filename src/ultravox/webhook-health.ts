import { iso } from '../domain/iso.ts'
import type { WebhookProblem } from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { shownUrl, withoutQueries } from './shown-url.ts'
import { sharedSecrets, type WantedWebhook, webhooksElsewhere, webhooksInPlace } from './webhook-difference.ts'

/** Characters of the provider's word for a failure that are told. */
const TOLD = 200

/** What is wrong with the webhook at the provider, or with several to its URL; nothing where it is as it should be. */
export function webhookProblems(wanted: WantedWebhook, registered: readonly Webhook[]): WebhookProblem[] {
  const inPlace = webhooksInPlace(wanted, registered)
  if (inPlace.length === 0) return [absence(wanted, webhooksElsewhere(wanted, registered))]
  return [
    ...inPlace.filter(({ status }) => status === 'unhealthy').map(unhealthy),
    ...absentEvents(wanted, inPlace),
    ...inPlace.filter((webhook) => sharedSecrets(wanted, webhook).length === 0).map(unknownSecrets),
  ]
}

function absence({ url }: WantedWebhook, elsewhere: readonly Webhook[]): WebhookProblem {
  const [moved] = elsewhere
  const none = `Ultravox has no webhook to ${shownUrl(url)}`
  if (moved === undefined) return { kind: 'missing', message: `${none}: run webhooks ensure.` }
  const others = elsewhere.map((webhook) => `${webhook.webhookId} to ${shownUrl(webhook.url)}`).join(', ')
  const how = `Run webhooks ensure to make one, or webhooks ensure --id ${moved.webhookId} to have it lead here.`
  return { kind: 'moved', message: `${none}. Signed with a secret of its source is ${others}. ${how}` }
}

function unhealthy({ webhookId, url, recentFailures }: Webhook): WebhookProblem {
  // In which order they are listed is not documented.
  const last = recentFailures.toSorted((a, b) => a.at - b.at).at(-1)
  const why =
    last === undefined ? '' : `; its last failure at ${iso(last.at)}: ${withoutQueries(last.failure).slice(0, TOLD)}`
  return { kind: 'unhealthy', message: `Ultravox calls the webhook ${webhookId} to ${shownUrl(url)} unhealthy${why}` }
}

/** An event needs only one of the webhooks. */
function absentEvents({ url, events }: WantedWebhook, inPlace: readonly Webhook[]): WebhookProblem[] {
  const absent = events.filter((event) => !inPlace.some((webhook) => webhook.events.includes(event)))
  if (absent.length === 0) return []
  const message = `The webhook to ${shownUrl(url)} is not registered for ${absent.join(', ')}: run webhooks ensure.`
  return [{ kind: 'events', message }]
}

function unknownSecrets({ webhookId, url }: Webhook): WebhookProblem {
  const message = `No secret of the webhook ${webhookId} to ${shownUrl(url)} is one of its source: all that it sends is refused. Run webhooks ensure.`
  return { kind: 'secrets', message }
}
