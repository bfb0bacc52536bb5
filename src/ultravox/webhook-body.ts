import type { Secret } from '../domain/secret.ts'

/** What can be set of a webhook. */
export interface NewWebhook {
  /** Of at most 200 characters. */
  readonly url: string
  /** Names as `call.ended`. */
  readonly events: readonly string[]
  /** Each of at most 120 characters; a webhook is signed once with each. */
  readonly secrets?: readonly Secret[]
  /** Only calls of this agent; null for all. */
  readonly agentId?: string | null
}

/** The JSON to send, and what of it must not be told. */
export function webhookBody(webhook: Partial<NewWebhook>): { body: string; secrets: readonly Secret[] } {
  const { secrets, ...rest } = webhook
  const revealed = secrets?.map((secret) => secret.reveal())
  return { body: JSON.stringify({ ...rest, secrets: revealed }), secrets: secrets ?? [] }
}
