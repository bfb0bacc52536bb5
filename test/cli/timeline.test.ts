import t from 'tap'
import { timeline } from '../../src/cli/timeline.ts'
import type { Config } from '../../src/config/config.ts'
import type { Attempt } from '../../src/domain/delivery.ts'
import type { DeliveryHistory, EarlierDelivery, EventHistory, QueuePlace } from '../../src/outbox/operator.ts'

const START = Date.parse('2026-01-15T12:00:00Z')
const NOW = START + 600_000
const config = {
  targets: {
    crm: { paused: false, rateLimit: null },
    ops: { paused: true, rateLimit: null },
    slow: { paused: false, rateLimit: { max: 20, perMs: 1_000 } },
  },
} as unknown as Config

const NEXT: QueuePlace = { behind: null, paused: false, breaker: null, throttledUntil: null, ahead: 0, starts: 0 }
const EARLIER: EarlierDelivery = {
  deliveryId: 3,
  event: 'call.started',
  state: 'pending',
  dueAt: NOW + 60_000,
  updatedAt: START,
  lastError: 'http 503',
  ahead: 0,
  starts: 0,
}

function delivery(given: Partial<DeliveryHistory>): DeliveryHistory {
  const event = { eventId: 'evt_1', event: 'call.ended', callId: 'call-1' }
  const none = {
    attempts: 0,
    dueAt: null,
    updatedAt: NOW,
    lastStatus: null,
    lastError: null,
    waiting: false,
    place: null,
    history: [],
  }
  return { ...event, ...none, deliveryId: 7, target: 'crm', state: 'pending', ...given }
}

function event(given: Partial<EventHistory>): EventHistory {
  const identity = {
    eventId: 'evt_1',
    event: 'call.ended',
    callId: 'call-1',
    source: 'ultravox',
    origin: 'webhook' as const,
  }
  return {
    ...identity,
    receivedAt: START,
    duplicates: 0,
    prunedAt: null,
    contentType: null,
    traceId: null,
    bytes: 2,
    deliveries: [],
    ...given,
  }
}

/** The text of one delivery's line. */
function told(given: Partial<DeliveryHistory>): string {
  return timeline([event({ deliveries: [delivery(given)] })], config, NOW)
    .split('\n')[2]!
    .trim()
}

t.test('an event that was pruned is told from one that no route took', async (t) => {
  t.match(timeline([event({})], config, NOW), /no deliveries: no route took it/)
  t.match(timeline([event({ prunedAt: START, bytes: null })], config, NOW), /pruned at \d{4}-.*Z, with all that became/)
})

t.test('a call is told from its first event on, errors in one line however long they are', async (t) => {
  const attempt = { attempt: 1, durationMs: 12, status: 503, response: null, note: null }
  const history = [
    { ...attempt, startedAt: START + 2_000, outcome: 'failed' as const, error: `http 503:\n${'x'.repeat(300)}` },
    {
      ...attempt,
      attempt: 2,
      startedAt: START + 125_000,
      status: 200,
      outcome: 'delivered' as const,
      error: null,
      note: 'killed two',
    },
  ]
  const events = [
    event({ event: 'call.started' }),
    event({ receivedAt: START - 1_000, deliveries: [delivery({ state: 'delivered', history })], duplicates: 2 }),
  ]
  t.same(timeline(events, config, NOW).split('\n'), [
    'TIME                      SINCE   WHAT',
    '2026-01-15T12:00:00.000Z  +0s     call.started  by webhook from ultravox  evt_1',
    '                                    no deliveries: no route took it',
    '2026-01-15T11:59:59.000Z  -1s     call.ended  by webhook from ultravox, 2 more of the same  evt_1',
    '                                    crm: delivered (delivery 7)',
    `2026-01-15T12:00:02.000Z  +2s         attempt 1 failed (503), 12 ms: http 503: ${'x'.repeat(300)}`,
    '2026-01-15T12:02:05.000Z  +2m 5s      attempt 2 delivered (200), 12 ms: killed two',
    '',
  ])
})

/** An attempt that had begun when its delivery was cancelled. */
function underWay(outcome: Attempt['outcome']): Attempt {
  const error = outcome === 'delivered' ? null : 'http 503'
  const answer = { status: null, response: null, error, note: null }
  return { attempt: 1, startedAt: START - 1_000, durationMs: 3_000, outcome, ...answer }
}

t.test('of what is pending it is told when it is due, and what it waits for besides', async (t) => {
  const cases: [Partial<DeliveryHistory>, string][] = [
    [{ dueAt: NOW + 182_000, place: NEXT }, 'crm: pending, due in 3m 2s (delivery 7)'],
    [{ dueAt: NOW - 4_000, place: NEXT }, 'crm: pending, due for 4s (delivery 7)'],
    [{ dueAt: NOW, place: { ...NEXT, behind: EARLIER } }, 'crm: pending behind delivery 3, due in 1m (delivery 7)'],
    [
      { dueAt: NOW, place: { ...NEXT, behind: { ...EARLIER, dueAt: START }, paused: true } },
      'crm: pending behind delivery 3, due for 10m; its target is paused (delivery 7)',
    ],
    [
      { dueAt: NOW, place: { ...NEXT, behind: { ...EARLIER, state: 'dead', dueAt: null } } },
      'crm: pending, held by dead delivery 3 (delivery 7)',
    ],
    [
      { dueAt: NOW - 4_000, place: { ...NEXT, paused: true } },
      'crm: pending, due for 4s; its target is paused (delivery 7)',
    ],
    [
      { dueAt: NOW, place: { ...NEXT, breaker: { probeAt: NOW + 30_000, cooldownMs: 1 } } },
      'crm: pending, due for 0s; circuit open, probe in 30s (delivery 7)',
    ],
    [
      { dueAt: NOW, place: { ...NEXT, breaker: { probeAt: NOW, cooldownMs: 1 } } },
      'crm: pending, due for 0s; circuit open, probe due (delivery 7)',
    ],
    [
      { dueAt: NOW, target: 'slow', place: { ...NEXT, ahead: 700 } },
      'slow: pending, due for 0s; 700 due before it, at most 20/s (delivery 7)',
    ],
    [
      { dueAt: NOW, place: { ...NEXT, starts: 2 } },
      'crm: pending, due for 0s; sent on its own after unexpected ends of the relay (delivery 7)',
    ],
    [
      { dueAt: NOW, target: 'ops', place: NEXT },
      'ops: pending, due for 0s; the configuration pauses its target (delivery 7)',
    ],
    [{ dueAt: NOW, target: 'old', place: NEXT }, 'old: pending, due for 0s; its target is not configured (delivery 7)'],
    [{ state: 'dead', updatedAt: START }, 'crm: dead since 2026-01-15T12:00:00.000Z (delivery 7)'],
    [{ state: 'cancelled', updatedAt: START }, 'crm: cancelled since 2026-01-15T12:00:00.000Z (delivery 7)'],
    [
      { state: 'cancelled', updatedAt: START, history: [underWay('delivered')] },
      'crm: cancelled since 2026-01-15T12:00:00.000Z, but delivered at 2026-01-15T12:00:02.000Z (delivery 7)',
    ],
    [
      { state: 'cancelled', updatedAt: START, history: [underWay('failed')] },
      'crm: cancelled since 2026-01-15T12:00:00.000Z (delivery 7)',
    ],
  ]
  for (const [given, text] of cases) t.equal(told(given), text)
})
