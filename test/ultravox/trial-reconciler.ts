import { join } from 'node:path'
import type { Test } from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { fetchedEvent } from '../../src/ultravox/fetched-event.ts'
import { type MissedEvent, noFindings, Reconciler, type ReconcilerOptions } from '../../src/ultravox/reconciler.ts'
import { scratch } from '../scratch.ts'
import { createFakeApi, type FakeOptions } from './fake-api.ts'
import { HandClock } from './hand-clock.ts'
import { trialClient } from './trial-client.ts'

export const MINUTE = 60_000
export const GRACE = 20 * MINUTE

/** A reconciler on a real outbox and a real socket, with a clock of the test's. */
export async function trialReconciler(
  t: Test,
  options: Partial<ReconcilerOptions> = {},
  fake: Partial<FakeOptions> = {},
) {
  const clock = new HandClock()
  const api = await createFakeApi(t, { clock, ...fake })
  const { client } = trialClient(t, api.baseUrl, { clock, requestsPerSecond: 10_000 })
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => t.fail(error.message))
  t.teardown(() => outbox.close())
  let taken = 0
  const arrive = async (body: Buffer) => {
    taken += 1
    const { event } = fetchedEvent('ultravox', 'default', body, `evt_${taken}`, clock.now())
    return outbox.record(event, [])
  }
  const reconciler = new Reconciler({
    client,
    store: outbox,
    memory: outbox,
    source: 'ultravox',
    account: 'default',
    events: ['call.started', 'call.joined', 'call.ended', 'call.billed'],
    agentId: null,
    graceMs: GRACE,
    take: async (body) => !(await arrive(body)).duplicate,
    clock,
    ...options,
  })
  const place = { from: clock.now() - MINUTE, page: null }
  /** A sweep over all calls that the test has made, and over those that were deleted. */
  async function sweep() {
    const recorded: MissedEvent[] = []
    const findings = noFindings((event) => recorded.push(event))
    const all = { ...place, to: clock.now() }
    await reconciler.lookThroughCalls(all, findings, async () => {}, new AbortController().signal)
    await reconciler.lookThroughDeleted(all, findings, async () => {}, new AbortController().signal)
    const { events: gaps, foundUntil } = await outbox.untoldGaps('ultravox', 1_000)
    await outbox.gapsTold('ultravox', foundUntil)
    return { ...findings, recorded, gaps }
  }
  return { clock, api, client, outbox, reconciler, sweep, arrive, place }
}

/** What was found, as `event callId`. */
export const found = (events: readonly { event: string; callId: string }[]) =>
  events.map(({ event, callId }) => `${event} ${callId}`)
