import type { Test as TapTest } from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createUltravoxClient } from '../../src/ultravox/client.ts'
import type { RequestsOptions } from '../../src/ultravox/requests.ts'
import { API_KEY } from './fake-api.ts'
import { HandClock } from './hand-clock.ts'

/**
 * A client whose pauses take no time: they are written down, and move its clock. Chance is in the middle, so there is no
 * jitter.
 */
export function trialClient(t: Pick<TapTest, 'teardown'>, baseUrl: string, options: Partial<RequestsOptions> = {}) {
  const clock = new HandClock()
  const pauses: number[] = []
  const client = createUltravoxClient({
    baseUrl,
    apiKey: new Secret(API_KEY),
    random: () => 0.5,
    clock,
    pause: async (ms) => {
      pauses.push(ms)
      clock.advance(ms)
    },
    ...options,
  })
  t.teardown(() => client.close())
  return { client, clock, pauses }
}

/** The pages of a list, to the end. */
export async function pagesOf<T>(pages: AsyncIterable<{ readonly items: readonly T[] }>): Promise<T[][]> {
  const all: T[][] = []
  for await (const { items } of pages) all.push([...items])
  return all
}

export const idsOf = (calls: readonly { callId: string }[]) => calls.map(({ callId }) => callId)
