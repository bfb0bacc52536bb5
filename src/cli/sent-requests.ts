import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** A request as it was handed to undici. */
export interface SentRequest {
  readonly method: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Published by undici for each request (its docs: DiagnosticsChannel), also for one that finds nobody to connect to. */
const CHANNEL = 'undici:request:create'

/**
 * Runs `work` and gives what it comes to and the requests made meanwhile. By undici's own diagnostics, so that what is shown
 * is what was sent, and targets need not know of anybody looking.
 */
export async function watchingRequests<T>(work: () => Promise<T>): Promise<{ result: T; sent: SentRequest[] }> {
  const sent: SentRequest[] = []
  const watch = (message: unknown) => sent.push(sentRequest((message as { request: CreatedRequest }).request))
  subscribe(CHANNEL, watch)
  try {
    return { result: await work(), sent }
  } finally {
    unsubscribe(CHANNEL, watch)
  }
}

interface CreatedRequest {
  readonly method: string
  /** Name, value, … */
  readonly headers: readonly string[]
  /** Something else where it is a stream. */
  readonly body: unknown
}

function sentRequest({ method, headers, body }: CreatedRequest): SentRequest {
  const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]!] as const] : []))
  return { method, headers: pairs, body: textOf(body) }
}

function textOf(body: unknown): string {
  if (body === null) return ''
  return body instanceof Uint8Array
    ? Buffer.from(body).toString('utf8')
    : '(the event as a part of multipart/form-data)'
}
