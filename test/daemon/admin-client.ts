import { Agent, request } from 'undici'
import type { RelayProcess } from './relay-process.ts'

export interface AdminAnswer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: () => Record<string, unknown>
}

export interface AdminClient {
  get(path: string, headers?: Record<string, string>): Promise<AdminAnswer>
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<AdminAnswer>
  postText(path: string, text: string | undefined, contentType: string): Promise<AdminAnswer>
}

/** Where a relay's admin listener is, as it said last: `127.0.0.1:1234` or `unix:/path`. */
export function adminAddress({ log }: Pick<RelayProcess, 'log'>): string {
  const { listen } = log.findLast(({ msg }) => msg === 'admin listener opened')!
  return listen as string
}

export function adminClient(address: string): AdminClient {
  const socketPath = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
  const dispatcher = new Agent(socketPath === undefined ? {} : { connect: { socketPath } })
  const origin = socketPath === undefined ? `http://${address}` : 'http://localhost'
  async function ask(method: 'GET' | 'POST', path: string, headers: Record<string, string>, body?: string) {
    const answer = await request(`${origin}${path}`, { method, headers, body: body ?? null, dispatcher, reset: true })
    const text = await answer.body.text()
    return { status: answer.statusCode, headers: answer.headers, text, json: () => JSON.parse(text) }
  }
  return {
    postText: (path, text, type) => ask('POST', path, text === undefined ? {} : { 'content-type': type }, text),
    get: (path, headers = {}) => ask('GET', path, headers),
    post: (path, body, headers = {}) =>
      body === undefined
        ? ask('POST', path, headers)
        : ask('POST', path, { 'content-type': 'application/json', ...headers }, JSON.stringify(body)),
  }
}
