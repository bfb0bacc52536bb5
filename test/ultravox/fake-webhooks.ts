import { request } from 'undici'
import type { Clock } from '../../src/domain/clock.ts'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { eventBody } from '../../src/ultravox/lifecycle.ts'
import type { Entry } from './fake-pages.ts'

/** A webhook as the API shows it. */
export interface FakeWebhook {
  readonly webhookId: string
  readonly created: string
  agentId: string | null
  url: string
  secrets: string[]
  events: string[]
  status: 'normal' | 'unhealthy'
  lastStatusChange: string | null
  recentFailures: { timestamp: string; failure: string }[]
}

/** What came of one webhook sent to one URL. */
export interface Sent {
  readonly webhookId: string
  readonly event: string
  /** Of the answer; null where there was none. */
  readonly status: number | null
}

interface Announcement {
  readonly event: string
  readonly agentId: string
  readonly body: Buffer
}

/**
 * The registered webhooks, and what is to be sent to them. An event waits until a test sends it or has it lost, so that
 * a test says what comes first. Nothing is sent again by itself.
 */
export class FakeWebhooks {
  readonly #webhooks = new Map<string, FakeWebhook>()
  readonly #clock: Clock
  /** How a webhook is shown in answers, where that is not as it is. */
  shown: (webhook: FakeWebhook) => object = (webhook) => webhook
  /** What becomes of a secret that is registered. */
  kept: (secret: string) => string = (secret) => secret
  #waiting: Announcement[] = []
  #created = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Registers a webhook; the provider makes up a secret where there is none. */
  create(fields: Partial<FakeWebhook> & Pick<FakeWebhook, 'url' | 'events'>): FakeWebhook {
    this.#created += 1
    const webhook: FakeWebhook = {
      webhookId: `22222222-2222-4222-8222-${String(this.#created).padStart(12, '0')}`,
      agentId: fields.agentId ?? null,
      created: this.#time(),
      url: fields.url,
      secrets: fields.secrets ?? [`whsec_made_up_${this.#created}`],
      events: fields.events,
      status: 'normal',
      lastStatusChange: null,
      recentFailures: [],
    }
    this.#webhooks.set(webhook.webhookId, webhook)
    return webhook
  }

  get(webhookId: string): FakeWebhook | undefined {
    return this.#webhooks.get(webhookId)
  }

  delete(webhookId: string): boolean {
    return this.#webhooks.delete(webhookId)
  }

  /** Changes what a client may change. */
  patch(webhookId: string, { url, events, secrets, agentId }: Partial<FakeWebhook>): FakeWebhook {
    const webhook = this.#webhooks.get(webhookId)!
    if (url !== undefined) webhook.url = url
    if (events !== undefined) webhook.events = events
    if (secrets !== undefined) webhook.secrets = secrets.map(this.kept)
    if (agentId !== undefined) webhook.agentId = agentId
    return webhook
  }

  setStatus(webhookId: string, status: FakeWebhook['status']): void {
    Object.assign(this.#webhooks.get(webhookId)!, { status, lastStatusChange: this.#time() })
  }

  entries(): Entry[] {
    return [...this.#webhooks.values()].map((webhook, sequence) => ({
      sequence,
      created: webhook.created,
      text: JSON.stringify(this.shown(webhook)),
    }))
  }

  /** Puts an event among those to be sent, with the call as it is now. */
  announce(event: string, callText: string, agentId: string): void {
    this.#waiting.push({ event, agentId, body: eventBody(event, Buffer.from(callText)) })
  }

  /** Sends what waits, in order, to every webhook that it is for. */
  async sendAll(): Promise<Sent[]> {
    const waiting = this.#waiting
    this.#waiting = []
    const sent: Sent[] = []
    for (const announcement of waiting) {
      for (const webhook of this.#webhooks.values()) {
        if (isFor(webhook, announcement)) sent.push(await this.#send(webhook, announcement))
      }
    }
    return sent
  }

  /** Loses what waits, as the provider does once it has given up. Gives the names of the events. */
  loseAll(): string[] {
    const lost = this.#waiting.map(({ event }) => event)
    this.#waiting = []
    return lost
  }

  /** One signature for each of the webhook's secrets. A redirect is not followed, and counts as fine. */
  async #send(webhook: FakeWebhook, { event, body }: Announcement): Promise<Sent> {
    const keys = webhook.secrets.map((secret) => ultravoxKey(new Secret(secret)))
    const headers = ['content-type', 'application/json', ...ultravoxHeaders(keys, body, this.#clock.now())]
    let status: number | null = null
    try {
      const answer = await request(webhook.url, { method: 'POST', headers, body, reset: true })
      status = answer.statusCode
      await answer.body.dump()
    } catch (error) {
      this.#failed(webhook, String((error as { code?: unknown }).code))
    }
    if (status !== null && status >= 400) this.#failed(webhook, `HTTP ${status}`)
    return { webhookId: webhook.webhookId, event, status }
  }

  /** After how many failures the provider marks a webhook is not documented: here, after the first. */
  #failed(webhook: FakeWebhook, failure: string): void {
    webhook.recentFailures.push({ timestamp: this.#time(), failure })
    if (webhook.status === 'normal') this.setStatus(webhook.webhookId, 'unhealthy')
  }

  #time(): string {
    return new Date(this.#clock.now()).toISOString()
  }
}

function isFor(webhook: FakeWebhook, { event, agentId }: Announcement): boolean {
  return webhook.events.includes(event) && (webhook.agentId === null || webhook.agentId === agentId)
}
