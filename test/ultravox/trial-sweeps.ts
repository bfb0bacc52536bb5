import { join } from 'node:path'
import type { Test } from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { fetchedEvent } from '../../src/ultravox/fetched-event.ts'
import { eventBody } from '../../src/ultravox/lifecycle.ts'
import { type MissedEvent, Reconciler, totalOf } from '../../src/ultravox/reconciler.ts'
import { Sweeps } from '../../src/ultravox/sweeps.ts'
import { scratch } from '../scratch.ts'
import { createFakeApi, type FakeOptions } from './fake-api.ts'
import { HandClock } from './hand-clock.ts'
import { trialClient } from './trial-client.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const LIFE = ['call.started', 'call.joined', 'call.ended', 'call.billed']

export interface TrialSweepsOptions {
  readonly lookbackMs?: number
  readonly graceMs?: number
  readonly events?: readonly string[]
  readonly agentId?: string | null
}

/** Sweeps over a provider on a real socket into a real outbox, with a clock of the test's. */
export async function trialSweeps(t: Test, options: TrialSweepsOptions = {}, fake: Partial<FakeOptions> = {}) {
  const clock = new HandClock()
  /** The relay's own clock, where that differs. */
  const skew = { ms: 0 }
  const relayClock = { now: () => clock.now() + skew.ms }
  const api = await createFakeApi(t, { clock, pageSize: 10, ...fake })
  const { client } = trialClient(t, api.baseUrl, { clock: new HandClock(), requestsPerSecond: 1_000_000 })
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  t.teardown(() => outbox.close())
  const never = new AbortController().signal
  let taken = 0

  async function take(body: Buffer): Promise<boolean> {
    taken += 1
    const { event } = fetchedEvent('ultravox', 'default', body, `evt_${taken}`, relayClock.now())
    return !(await outbox.record(event, [])).duplicate
  }

  function sweepsWith(changed: TrialSweepsOptions = {}): Sweeps {
    const { lookbackMs = 26 * HOUR, graceMs = 20 * MINUTE, events = LIFE, agentId = null } = { ...options, ...changed }
    const scope = JSON.stringify([agentId, events, graceMs])
    const common = { store: outbox, source: 'ultravox', account: 'default', clock: relayClock }
    const reconciler = new Reconciler({ ...common, client, memory: outbox, events, agentId, graceMs, take })
    return new Sweeps({ ...common, reconciler, lookbackMs, scope })
  }

  let sweeps = sweepsWith()

  /** One sweep, with what it has recorded and how many requests it took. */
  async function sweep(unreadableSince: number | null = null, signal = never) {
    const recorded: MissedEvent[] = []
    const before = api.requests.length
    const result = await sweeps.run((event) => recorded.push(event), unreadableSince, signal)
    const asked = api.requests.slice(before)
    const count = (kind: RegExp) => asked.filter(({ path }) => kind.test(path)).length
    const requests = {
      pages: count(/^\/api\/calls$/),
      deletedPages: count(/^\/api\/deleted_calls$/),
      single: count(/^\/api\/calls\/./),
    }
    const failures = [...result.lists.map(({ failure }) => failure), result.again].flatMap((each) => each?.error ?? [])
    return { ...result, recorded, requests, failures, missing: totalOf(result.findings, 'missing') }
  }

  return {
    clock,
    skew,
    api,
    outbox,
    sweep,
    /** As after a restart of the relay, perhaps with another configuration. */
    restart(changed: TrialSweepsOptions = {}) {
      sweeps = sweepsWith(changed)
    },
    /** A webhook arrives with the call as it is now. */
    webhook: (event: string, callId: string) => take(eventBody(event, Buffer.from(api.calls.text(callId)))),
    /** The events on record of calls, as `event callId`. */
    async onRecord(callIds: readonly string[]): Promise<string[]> {
      const all = callIds.flatMap((callId) => LIFE.map((event) => ({ event, callId })))
      const missing = new Set((await outbox.missingEvents('default', all)).map(nameOf))
      return all.map(nameOf).filter((name) => !missing.has(name))
    },
    async gaps(): Promise<string[]> {
      return (await outbox.untoldGaps('ultravox', 100_000)).events.map(nameOf)
    },
    async awaited(): Promise<string[]> {
      const calls = await outbox.dueCalls('ultravox', Number.MAX_SAFE_INTEGER, 100_000)
      return calls.map(({ callId }) => callId)
    },
  }
}

export const nameOf = ({ event, callId }: { event: string; callId: string }) => `${event} ${callId}`
