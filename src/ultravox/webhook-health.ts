import { iso } from '../domain/iso.ts'
import type { WebhookProblem } from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { shownUrl } from './shown-url.ts'
import {
  agentInWords,
  hasUnknownSecrets,
  type WantedWebhook,
  webhooksElsewhere,
  webhooksInPlace,
  webhooksOfOtherAgents,
} from './webhook-difference.ts'
import { byTime, withSafeFailures } from './webhook-failures.ts'

/** Characters of the provider's word for a failure that are told. */
const TOLD = 200
/** The one status that is known to be good; the provider may add others. */
const HEALTHY = 'normal'

/** What is wrong with the webhook at the provider, or with several to its URL; nothing where it is as it should be. */
export function webhookProblems(wanted: WantedWebhook, registered: readonly Webhook[]): WebhookProblem[] {
  const inPlace = webhooksInPlace(wanted, registered)
  const others = webhooksOfOtherAgents(wanted, registered)
  if (inPlace.length === 0 && others.length > 0) return [otherAgent(wanted, others[0]!, 'change')]
  if (inPlace.length === 0) return [absence(wanted, webhooksElsewhere(wanted, registered))]
  const wider = wanted.agentId === null ? undefined : others.find(({ agentId }) => agentId === null)
  return [
    ...inPlace
      .filter(({ status }) => status !== HEALTHY)
      .map((webhook) => unhealthy(withSafeFailures(webhook, wanted.secrets))),
    ...absentEvents(wanted, inPlace),
    ...inPlace.filter((webhook) => hasUnknownSecrets(wanted, webhook)).map(unknownSecrets),
    ...(wider === undefined ? [] : [otherAgent(wanted, wider, 'delete')]),
  ]
}

/** `remedy`: what makes it right, to limit or widen the other webhook, or to delete it beside the right one. */
function otherAgent(wanted: WantedWebhook, { webhookId, url, agentId }: Webhook, remedy: 'change' | 'delete') {
  const what = `The webhook ${webhookId} to ${shownUrl(url)} is for ${agentInWords(agentId)}`
  const command = remedy === 'change' ? `webhooks ensure --id ${webhookId}` : `webhooks delete ${webhookId}`
  const message = `${what}, and ultravox.webhook wants only ${agentInWords(wanted.agentId)}: run ultravox-relay ${command}.`
  const right = wanted.agentId === null ? message.replace(' wants only ', ' wants ') : message
  return { kind: 'agent', message: right } as const
}

function absence({ url }: WantedWebhook, elsewhere: readonly Webhook[]): WebhookProblem {
  const [moved] = elsewhere
  const none = `Ultravox has no webhook to ${shownUrl(url)}`
  if (moved === undefined) return { kind: 'missing', message: `${none}: run webhooks ensure.` }
  const others = elsewhere.map((webhook) => `${webhook.webhookId} to ${shownUrl(webhook.url)}`).join(', ')
  const how = `Run webhooks ensure to make one, or webhooks ensure --id ${moved.webhookId} to have it lead here.`
  return { kind: 'moved', message: `${none}. Signed with a secret of its source is ${others}. ${how}` }
}

function unhealthy(webhook: Webhook): WebhookProblem {
  const { webhookId, url, status } = webhook
  const last = byTime(webhook).at(-1)
  const when = last?.at == null ? '' : ` at ${iso(last.at)}`
  const why = last === undefined ? '' : `; its last failure${when}: ${last.failure.slice(0, TOLD)}`
  const webhookName = `the webhook ${webhookId} to ${shownUrl(url)}`
  const state =
    status === 'unhealthy'
      ? `Ultravox calls ${webhookName} unhealthy`
      : `Ultravox gives ${webhookName} the status ${JSON.stringify(status.slice(0, TOLD))}, which is not known to be healthy`
  return { kind: 'unhealthy', message: `${state}${why}` }
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
