import type { Test } from 'tap'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi, type FakeApi, type FakeOptions } from '../ultravox/fake-api.ts'
import { commandsIn, type Row } from './operator-commands.ts'
import { writeConfig } from './relay-process.ts'
import { SECRET } from './ultravox-sender.ts'

const clock = { now: () => Date.now() }
export const LIFE = ['call.started', 'call.joined', 'call.ended', 'call.billed']

/** A relay's configuration that reconciles every second with a fake provider, and delivers to a service. */
export async function surroundings(
  t: Test,
  options: Partial<FakeOptions> = {},
  ultravox: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
) {
  const api = await createFakeApi(t, { clock, ...options })
  const sink = await httpServer(t, (response) => response.end())
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'http', url: `${sink.origin}/crm` }, ops: { type: 'http', url: `${sink.origin}/ops` } },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['relay.*'], to: ['ops'] },
    ],
    ultravox: {
      apiKey: API_KEY,
      baseUrl: `${api.baseUrl}${options.pathPrefix ?? ''}`,
      reconcile: { every: '1s', lookback: '1h', grace: '0s', source: 'ultravox' },
      ...ultravox,
    },
    ...more,
  })
  const at = (path: string) =>
    sink.received.filter(({ url }) => url === path).map(({ body }) => JSON.parse(body.toString()) as Row)
  const delivered = () => at('/crm').map(({ event, call }) => `${event} ${(call as { callId: string }).callId}`)
  return { api, sink, config, delivered, alerts: () => at('/ops'), ...commandsIn(directory) }
}

export function liveThrough({ calls }: FakeApi, callId: string): void {
  calls.create({ callId })
  calls.join(callId)
  calls.end(callId)
  calls.bill(callId)
}

export const lifeOf = (callId: string) => LIFE.map((event) => `${event} ${callId}`)
