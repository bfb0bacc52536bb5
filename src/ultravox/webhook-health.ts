import { createHash } from 'node:crypto'
import type { Secret } from '../domain/secret.ts'
import type { WebhookProblem } from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'

/** A webhook as it should be. */
export interface WantedWebhook {
  readonly url: string
  readonly agentId: string | null
  readonly events: readonly string[]
  /** Those of the source that it leads to. */
  readonly secrets: readonly Secret[]
}

/** What is wrong with the webhook at the provider; nothing where it is as it should be. */
export function webhookProblems(wanted: WantedWebhook, registered: readonly Webhook[]): WebhookProblem[] {
  const own = registered.find(({ url, agentId }) => url === wanted.url && agentId === wanted.agentId)
  if (own === undefined) return [missing(wanted, registered)]
  const problems: WebhookProblem[] = []
  if (own.status === 'unhealthy') {
    const last = own.recentFailures.at(-1)
    const why = last === undefined ? '' : `; its last failure at ${iso(last.at)}: ${last.failure.slice(0, 200)}`
    problems.push({ kind: 'unhealthy', message: `Ultravox calls the webhook to ${wanted.url} unhealthy${why}` })
  }
  const absent = wanted.events.filter((event) => !own.events.includes(event))
  if (absent.length > 0) {
    const message = `The webhook to ${wanted.url} is not registered for ${absent.join(', ')}: run webhooks ensure.`
    problems.push({ kind: 'events', message })
  }
  if (!own.secrets.some((secret) => isAmong(secret, wanted.secrets))) {
    const message = `No secret of the webhook to ${wanted.url} is one of its source: all that it sends is refused. Run webhooks ensure.`
    problems.push({ kind: 'secrets', message })
  }
  return problems
}

/** Not there; or there under another address, as its secret tells. */
function missing({ url, secrets }: WantedWebhook, registered: readonly Webhook[]): WebhookProblem {
  const moved = registered.find((webhook) => webhook.secrets.some((secret) => isAmong(secret, secrets)))
  if (moved !== undefined) {
    const message = `The webhook ${moved.webhookId} leads to ${moved.url}, not to ${url}: run webhooks ensure.`
    return { kind: 'moved', message }
  }
  return { kind: 'missing', message: `Ultravox has no webhook to ${url}: run webhooks ensure.` }
}

function isAmong(secret: Secret, others: readonly Secret[]): boolean {
  return others.some((other) => digest(other) === digest(secret))
}

function digest(secret: Secret): string {
  return createHash('sha256').update(secret.reveal()).digest('hex')
}

function iso(instant: number): string {
  return new Date(instant).toISOString()
}
