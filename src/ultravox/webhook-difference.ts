import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import type { NewWebhook, Webhook } from './client.ts'
import { sameUrl } from './same-url.ts'
import { hidesSecrets } from './shown-secrets.ts'

/** A webhook as it should be. */
export interface WantedWebhook {
  readonly url: string
  readonly agentId: string | null
  readonly events: readonly string[]
  /** Those of the source that it leads to. */
  readonly secrets: readonly Secret[]
}

/** One line of what has to change for a webhook to be as it should be. */
export interface WebhookChange {
  readonly change: 'add' | 'remove'
  readonly field: 'webhook' | 'url' | 'agent' | 'event' | 'secret'
  /** Of a secret: its fingerprint; of an agent: its id, or `all`. */
  readonly value: string
}

/** The registered webhooks to the wanted URL, of its agent. */
export function webhooksInPlace(wanted: WantedWebhook, registered: readonly Webhook[]): Webhook[] {
  return registered.filter(({ agentId, url }) => agentId === wanted.agentId && sameUrl(url, wanted.url))
}

/** Those to the wanted URL that are not of its agent: for all agents' calls, or for those of another one. */
export function webhooksOfOtherAgents(wanted: WantedWebhook, registered: readonly Webhook[]): Webhook[] {
  return registered.filter(({ agentId, url }) => agentId !== wanted.agentId && sameUrl(url, wanted.url))
}

/** Whose calls a webhook is for, in words. */
export function agentInWords(agentId: string | null): string {
  return agentId === null ? 'the calls of all agents' : `the calls of agent ${agentId}`
}

/**
 * Those of its agent that lead elsewhere and are signed with one of its secrets. Such a one may be the wanted webhook
 * before its URL was changed, and just as well that of another relay that shares the secret: only people can tell.
 */
export function webhooksElsewhere(wanted: WantedWebhook, registered: readonly Webhook[]): Webhook[] {
  return registered.filter(
    (webhook) =>
      webhook.agentId === wanted.agentId &&
      !sameUrl(webhook.url, wanted.url) &&
      sharedSecrets(wanted, webhook).length > 0,
  )
}

/**
 * What of a registered webhook is not as it should be, and the patch that makes it so. Events are a set. One secret of
 * ours is enough; where there is none, all of ours are put beside those that are there, and none is taken away. Where
 * Ultravox does not show a webhook's secrets, they stay as they are.
 */
export function webhookDifference(
  wanted: WantedWebhook,
  registered: Webhook,
): { patch: Partial<NewWebhook>; changes: WebhookChange[] } {
  const moved = !sameUrl(registered.url, wanted.url)
  const absent = wanted.events.filter((event) => !registered.events.includes(event))
  const unwanted = registered.events.filter((event) => !wanted.events.includes(event))
  const unknown = hasUnknownSecrets(wanted, registered) ? wanted.secrets : []
  const otherAgent = registered.agentId !== wanted.agentId
  return {
    patch: {
      ...(moved && { url: wanted.url }),
      ...(otherAgent && { agentId: wanted.agentId }),
      ...(absent.length + unwanted.length > 0 && { events: wanted.events }),
      ...(unknown.length > 0 && { secrets: [...registered.secrets, ...unknown] }),
    },
    changes: [
      ...(moved ? [removed('url', registered.url), added('url', wanted.url)] : []),
      ...(otherAgent ? [removed('agent', registered.agentId ?? 'all'), added('agent', wanted.agentId ?? 'all')] : []),
      ...unwanted.map((event) => removed('event', event)),
      ...absent.map((event) => added('event', event)),
      ...unknown.map((secret) => added('secret', secretFingerprint(secret))),
    ],
  }
}

/** All there is to say of a webhook that is not there yet. */
export function newWebhookChanges({ url, events, secrets }: WantedWebhook): WebhookChange[] {
  return [
    added('webhook', url),
    ...events.map((event) => added('event', event)),
    ...secrets.map((secret) => added('secret', secretFingerprint(secret))),
  ]
}

/** Whether a webhook is shown with its secrets, and none of them is one of the wanted. */
export function hasUnknownSecrets(wanted: Pick<WantedWebhook, 'secrets'>, registered: Webhook): boolean {
  const ours = wanted.secrets.filter(({ isMissing }) => !isMissing).map(secretFingerprint)
  return !hidesSecrets(registered, ours) && sharedSecrets(wanted, registered).length === 0
}

/** Fingerprints of the registered secrets that are among the wanted ones. */
export function sharedSecrets({ secrets }: Pick<WantedWebhook, 'secrets'>, registered: Webhook): string[] {
  const ours = secrets.map(secretFingerprint)
  return registered.secrets.map(secretFingerprint).filter((fingerprint) => ours.includes(fingerprint))
}

function added(field: WebhookChange['field'], value: string): WebhookChange {
  return { change: 'add', field, value }
}

function removed(field: WebhookChange['field'], value: string): WebhookChange {
  return { change: 'remove', field, value }
}
