import type { z } from 'zod'
import { allOf, type ListRequest, type Page, pagesOf, type Unreadable, type WithText } from './pages.ts'
import { ProviderError } from './provider-error.ts'
import { type Recording, recordingOf } from './recording.ts'
import type { RequestGate } from './request-gate.ts'
import { createRequests, type RequestsOptions } from './requests.ts'
import {
  type CallFields,
  type DeletedCallFields,
  MESSAGE,
  parseAnswer,
  parseJsonAnswer,
  readCall,
  readDeletedCall,
  unexpected,
  WEBHOOK,
  wholly,
} from './shapes.ts'
import { type NewWebhook, webhookBody } from './webhook-body.ts'
import { withSafeFailures } from './webhook-failures.ts'

export type { NewWebhook, Page, Recording, Unreadable }

/** A call as the REST API has it: what we read of it, and in `raw` the JSON text of the whole, byte for byte. */
export type Call = WithText<CallFields>
/** What is left of a deleted call: no content, and nothing of its billing. */
export type DeletedCall = WithText<DeletedCallFields>
/** A line of a call's transcript; the provider promises none of its fields. */
export type Message = WithText<z.infer<typeof MESSAGE>>
export type Webhook = z.infer<typeof WEBHOOK>

/** Which calls are listed. */
export interface CallList {
  /** Created from then to then: epoch milliseconds, both inclusive. */
  readonly from?: number
  readonly to?: number
  /** Of this agent only; null: of all. */
  readonly agentId?: string | null
  /** Where to go on: the `next` of a page of the same list. */
  readonly after?: string | null
  readonly signal?: AbortSignal
}

/**
 * The parts of the Ultravox REST API that the relay uses. All throw `ProviderError` (`provider_failed`,
 * `provider_refused`), or the reason of a signal that aborts: their own, the client's, or the one of `close`.
 */
export interface UltravoxClient {
  /** Rations requests with its key, also those that it does not make itself. */
  readonly gate: RequestGate
  /**
   * Page by page, in the provider's order: `sort` takes the name of a field, and which ones, and which way, is not
   * documented. What happens to a call after its page was fetched is not in it.
   */
  listCalls(options?: CallList): AsyncGenerator<Page<Call>, void, undefined>
  /** A page with this call as `listCalls` would have it; empty where the provider has no such call (404). */
  lookUpCall(callId: string, signal?: AbortSignal): Promise<Page<Call>>
  /** Null where the provider has no such call (404): deleted, or never there. Throws where a field cannot be read. */
  getCall(callId: string, signal?: AbortSignal): Promise<Call | null>
  /** The transcript of all of a call's stages, without the messages that the call was created with; page by page. */
  listMessages(callId: string, signal?: AbortSignal): AsyncGenerator<Page<Message>, void, undefined>
  /** Null where there is none, or none yet (404). */
  recording(callId: string, signal?: AbortSignal): Promise<Recording | null>
  listDeletedCalls(options?: CallList): AsyncGenerator<Page<DeletedCall>, void, undefined>
  listWebhooks(signal?: AbortSignal): Promise<readonly Webhook[]>
  /**
   * With no `secrets` the provider makes one up. Never sent twice where the first may have been taken; the error then
   * says so.
   */
  createWebhook(webhook: NewWebhook, signal?: AbortSignal): Promise<Webhook>
  /** Changes what is in the patch, each field as a whole. */
  updateWebhook(webhookId: string, patch: Partial<NewWebhook>, signal?: AbortSignal): Promise<Webhook>
  /** False where the provider had none (404): it may also have been an answer of ours that got lost. */
  deleteWebhook(webhookId: string, signal?: AbortSignal): Promise<boolean>
  /** Ends what is under way and every connection. */
  close(): Promise<void>
}

/** Items of a page: the most that the API documents for any list. */
export const PAGE_SIZE = 100

/** A client of the API at `baseUrl`. Throws `config_invalid` for a URL or key that cannot be one. */
export function createUltravoxClient(options: RequestsOptions): UltravoxClient {
  const requests = createRequests(options)
  const at = (path: string) => `${requests.base.pathname.replace(/\/$/, '')}${path}`
  const ofCall = (callId: string) => at(`/api/calls/${pathSegment(callId)}`)
  const ofWebhook = (webhookId: string) => at(`/api/webhooks/${pathSegment(webhookId)}`)

  async function lookUpCall(callId: string, signal?: AbortSignal): Promise<Page<Call>> {
    const answer = await nullIfAbsent(async () => {
      const name = ofCall(callId)
      return { name, ...(await requests.send({ method: 'GET', path: name, name }, signal)) }
    })
    if (answer === null) return { items: [], unreadable: [], next: null, total: 0 }
    const { name, body } = answer
    const { value, problems } = readCall(parseJsonAnswer(body, `GET ${name}`))
    const unreadable = problems.map((each) => {
      const place = each.field === '' ? 'the whole' : each.field
      return { ...each, index: 0, problem: `GET ${name}: ${place}: ${each.message}` }
    })
    return { items: value === undefined ? [] : [{ ...value, raw: body }], unreadable, next: null, total: 1 }
  }

  return {
    gate: requests.gate,
    listCalls: (list = {}) => pagesOf(requests, listRequest(at('/api/calls'), list), readCall, list.signal),
    lookUpCall,
    async getCall(callId, signal) {
      const { items, unreadable } = await lookUpCall(callId, signal)
      const [call] = items
      const problem = unreadable.find(({ field }) => call?.[field as keyof Call] === undefined)
      if (problem === undefined) return call ?? null
      const { field, message } = problem
      throw unexpected(`GET ${ofCall(callId)}`, `${field === '' ? 'the whole' : field}: ${message}`)
    },
    async *listMessages(callId, signal) {
      const query = `mode=in_call&pageSize=${PAGE_SIZE}`
      yield* pagesOf(requests, { name: `${ofCall(callId)}/messages`, query }, wholly(MESSAGE), signal)
    },
    recording: (callId, signal) =>
      nullIfAbsent(async () => recordingOf(requests, `${ofCall(callId)}/recording`, signal)),
    listDeletedCalls: (list = {}) =>
      pagesOf(requests, listRequest(at('/api/deleted_calls'), list), readDeletedCall, list.signal),
    async listWebhooks(signal) {
      const webhooks = await allOf(pagesOf(requests, { name: at('/api/webhooks'), query: '' }, wholly(WEBHOOK), signal))
      // Its text has the secrets in it.
      return webhooks.map(({ raw: _, ...webhook }) => withSafeFailures(webhook, [options.apiKey]))
    },
    async createWebhook(webhook, signal) {
      const name = at('/api/webhooks')
      const { body } = await requests.send({ method: 'POST', path: name, name, ...webhookBody(webhook) }, signal)
      return parseAnswer(WEBHOOK, body, `POST ${name}`)
    },
    async updateWebhook(webhookId, patch, signal) {
      const name = ofWebhook(webhookId)
      const { body } = await requests.send({ method: 'PATCH', path: name, name, ...webhookBody(patch) }, signal)
      return parseAnswer(WEBHOOK, body, `PATCH ${name}`)
    },
    async deleteWebhook(webhookId, signal) {
      const deleted = await nullIfAbsent(() => {
        const name = ofWebhook(webhookId)
        return requests.send({ method: 'DELETE', path: name, name }, signal)
      })
      return deleted !== null
    },
    close: () => requests.close(),
  }
}

/**
 * The provider's times are finer than ours: `to` takes in the whole of its last millisecond. A time with no zone, or a
 * date alone, would be the provider's to interpret.
 */
function listRequest(name: string, { from, to, agentId, after }: CallList): ListRequest {
  const query = new URLSearchParams({ pageSize: String(PAGE_SIZE) })
  if (from !== undefined) query.set('fromDate', new Date(from).toISOString())
  if (to !== undefined) query.set('toDate', new Date(to).toISOString().replace('Z', '999Z'))
  if (agentId != null) query.set('agentIds', agentId)
  return { name, query: query.toString(), after }
}

/**
 * An id as one segment of a path. Ids come with events and from commands. One that would be another path, or is not text
 * that can be sent, is an id of nothing: throws the `ProviderError` of a 404, and nothing is sent.
 */
function pathSegment(id: string): string {
  try {
    // Throws for text that is not well-formed.
    if (!/^\.{0,2}$/.test(id)) return encodeURIComponent(id)
  } catch {}
  throw new ProviderError('provider_refused', `${JSON.stringify(id)} is not an id`, { status: 404, repeat: 'never' })
}

async function nullIfAbsent<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ProviderError && error.status === 404) return null
    throw error
  }
}
