import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** An answer before it is sent. */
export interface FakeAnswer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
}

/** How a request is treated badly. What it asks for is done in `cut`, `stall`, `delay`, `next` and `edit` alone. */
export type Manner =
  /** This answer instead, as `{ status: 429, headers: { 'retry-after': '7' } }`. */
  | ({ readonly kind: 'answer' } & FakeAnswer)
  /** The connection ends with no answer. */
  | { readonly kind: 'drop' }
  /** There is never an answer, and the connection stays. */
  | { readonly kind: 'hang' }
  /** The connection ends in the middle of the answer. */
  | { readonly kind: 'cut' }
  /** Half of the answer comes, and then nothing more; the connection stays. */
  | { readonly kind: 'stall' }
  /** The answer comes late, by milliseconds. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The page names another next page than its own; undefined: it has no such member. */
  | { readonly kind: 'next'; readonly to: (next: string | null) => unknown }
  /** The answer's text is another. */
  | { readonly kind: 'edit'; readonly edit: (body: string) => string }

/** Answers with `act` in the given manner, or properly where there is none. */
export async function answerIn(manner: Manner | undefined, act: () => FakeAnswer, response: ServerResponse) {
  switch (manner?.kind) {
    case 'hang':
      return
    case 'drop':
      response.destroy()
      return
    case 'answer':
      write(response, manner)
      return
    case 'cut':
      writeHalf(response, act(), () => response.destroy())
      return
    case 'stall':
      writeHalf(response, act())
      return
    case 'delay':
      await sleep(manner.ms)
      write(response, act())
      return
    case 'next':
      write(response, withNext(act(), manner.to))
      return
    case 'edit': {
      const answer = act()
      write(response, { ...answer, body: manner.edit(String(answer.body)) })
      return
    }
    default:
      write(response, act())
  }
}

function write(response: ServerResponse, { status, headers, body }: FakeAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
}

function writeHalf(response: ServerResponse, { status, body = '' }: FakeAnswer, written?: () => void): void {
  const whole = Buffer.from(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': whole.length + 1 })
  response.write(whole.subarray(0, whole.length / 2), written)
}

function withNext(answer: FakeAnswer, to: (next: string | null) => unknown): FakeAnswer {
  const page = JSON.parse(String(answer.body)) as { next: string | null }
  return { ...answer, body: JSON.stringify({ ...page, next: to(page.next) }) }
}
