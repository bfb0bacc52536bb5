import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Test as TapTest } from 'tap'
import type { Clock } from '../../src/domain/clock.ts'
import { rawHttpServer } from '../local-server.ts'
import { FakeCalls } from './fake-calls.ts'
import { answerIn, type FakeAnswer, type Manner } from './fake-manners.ts'
import { type PageOptions, pageOf } from './fake-pages.ts'
import { FakeWebhooks } from './fake-webhooks.ts'
import { HandClock } from './hand-clock.ts'

export const API_KEY = 'test-api-key-4f1b'

/** A request as the fake got it. */
export interface FakeRequest {
  readonly method: string
  readonly path: string
  readonly query: Record<string, string>
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface FakeOptions extends Partial<PageOptions> {
  readonly clock?: Clock
  /** What it lets in. */
  readonly apiKey?: string
  /** What stands before the paths, as at a gateway. */
  readonly pathPrefix?: string
}

export interface FakeApi {
  readonly baseUrl: string
  /** Create, join, end, bill and delete calls here. Each event is then announced to `webhooks`. */
  readonly calls: FakeCalls
  /** Send or lose here what was announced. */
  readonly webhooks: FakeWebhooks
  /** All requests, in the order in which they came, however they were treated. */
  readonly requests: readonly FakeRequest[]
  /** Treats the next requests badly: `times` of those that `when` picks. Manners are used up in their order. */
  misbehave(manner: Manner, options?: { times?: number; when?: (request: FakeRequest) => boolean }): void
  /** Runs before each answer is made, so that something can happen between two pages. */
  beforeAnswer(act: (request: FakeRequest) => void): void
}

/**
 * A provider on a real socket, with state: the part of the REST API that the relay uses. It stands for the behaviour; that
 * its answers have the provider's shapes is tested against `openapi.yaml`.
 */
export async function createFakeApi(t: Pick<TapTest, 'teardown'>, options: FakeOptions = {}): Promise<FakeApi> {
  const { clock = new HandClock(), pageSize = 100, order = 'newest first', apiKey = API_KEY, pathPrefix = '' } = options
  const webhooks = new FakeWebhooks(clock)
  const calls = new FakeCalls(clock, (...announcement) => webhooks.announce(...announcement))
  const requests: FakeRequest[] = []
  const manners: { manner: Manner; when: (request: FakeRequest) => boolean }[] = []
  let beforeAnswer: (request: FakeRequest) => void = () => {}

  const { origin } = await rawHttpServer(t, async (incoming, response) => {
    const request = await recorded(incoming, origin)
    requests.push(request)
    const index = manners.findIndex(({ when }) => when(request))
    const [treatment] = index === -1 ? [] : manners.splice(index, 1)
    beforeAnswer(request)
    const url = new URL(incoming.url!, origin)
    const act = () => answerTo({ apiKey, calls, webhooks, page: { pageSize, order }, pathPrefix }, request, url)
    await answerIn(treatment?.manner, act, response)
  })

  return {
    baseUrl: origin,
    calls,
    webhooks,
    requests,
    misbehave(manner, { times = 1, when = () => true } = {}) {
      for (let i = 0; i < times; i += 1) manners.push({ manner, when })
    },
    beforeAnswer(act) {
      beforeAnswer = act
    },
  }
}

async function recorded(incoming: IncomingMessage, origin: string): Promise<FakeRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const url = new URL(incoming.url!, origin)
  return {
    method: incoming.method!,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString(),
  }
}

interface Account {
  readonly apiKey: string
  readonly calls: FakeCalls
  readonly webhooks: FakeWebhooks
  readonly page: PageOptions
  readonly pathPrefix: string
}

const NOT_FOUND: FakeAnswer = { status: 404, body: '{"detail":"Not found."}' }

function answerTo(account: Account, request: FakeRequest, url: URL): FakeAnswer {
  if (request.headers['x-api-key'] !== account.apiKey) return { status: 401, body: '{"detail":"Invalid API key."}' }
  if (!request.path.startsWith(`${account.pathPrefix}/`)) return NOT_FOUND
  const [, , kind, id, part] = request.path.slice(account.pathPrefix.length).split('/')
  if (kind === 'webhooks') return answerOfWebhooks(account, request, url, id)
  if (request.method === 'DELETE' && kind === 'calls' && id !== undefined && part === undefined) {
    return answerOfDeletion(account, id)
  }
  if (request.method !== 'GET') return { status: 405 }
  if (kind === 'deleted_calls')
    return { status: 200, body: pageOf(account.calls.deletedEntries(), url, account.page).text }
  return kind === 'calls' ? answerOfCalls(account, url, id, part) : NOT_FOUND
}

function answerOfDeletion({ calls }: Account, id: string): FakeAnswer {
  if (!calls.has(id)) return NOT_FOUND
  calls.delete(id)
  return { status: 204 }
}

function answerOfCalls({ calls, page }: Account, url: URL, id?: string, part?: string): FakeAnswer {
  if (id === undefined) return { status: 200, body: pageOf(calls.entries(), url, page).text }
  if (!calls.has(id)) return NOT_FOUND
  if (part === undefined) return { status: 200, body: calls.text(id) }
  // A transcript is in the order of what was said.
  if (part === 'messages') {
    const entries = calls.messageEntries(id, url.searchParams.get('mode'))
    return { status: 200, body: pageOf(entries, url, { ...page, order: 'oldest first' }).text }
  }
  const recording = part === 'recording' ? calls.recording(id) : undefined
  if (recording === undefined) return NOT_FOUND
  if ('redirectTo' in recording) return { status: 302, headers: { location: recording.redirectTo } }
  return { status: 200, headers: { 'content-type': 'audio/wav' }, body: recording.wav }
}

function answerOfWebhooks({ webhooks, page }: Account, request: FakeRequest, url: URL, id?: string): FakeAnswer {
  if (id === undefined) {
    if (request.method === 'POST')
      return { status: 201, body: JSON.stringify(webhooks.shown(webhooks.create(JSON.parse(request.body)))) }
    return { status: 200, body: pageOf(webhooks.entries(), url, page).text }
  }
  const webhook = webhooks.get(id)
  if (webhook === undefined) return NOT_FOUND
  if (request.method === 'DELETE') {
    webhooks.delete(id)
    return { status: 204 }
  }
  if (request.method === 'PATCH') webhooks.patch(id, JSON.parse(request.body))
  return { status: 200, body: JSON.stringify(webhooks.shown(webhook)) }
}
