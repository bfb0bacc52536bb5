import t from 'tap'
import {
  certificateReloaded,
  certificateReloadFailed,
  certificateRenewed,
  lifetimeAlerts,
} from '../../src/alerts/certificate-events.ts'
import { logHeld, outboxFull, outboxSizeRecovered, walReleased } from '../../src/alerts/outbox-events.ts'
import {
  reconcileFailing,
  reconcileGap,
  reconcileReadable,
  reconcileRecovered,
  reconcileUnreadable,
  sourceSilentThough,
  webhookRestored,
  webhookTrouble,
} from '../../src/alerts/provider-events.ts'
import {
  type Alert,
  backlogCleared,
  backlogOld,
  callsHeld,
  callsReleased,
  deadDelivery,
  lowSpace,
  payloadOf,
  sourceResumed,
  sourceSilent,
  spaceRecovered,
  targetClosed,
  targetOpened,
} from '../../src/alerts/relay-event.ts'
import type { Attempt, Delivery } from '../../src/domain/delivery.ts'
import { RELAY_EVENTS } from '../../src/domain/relay-events.ts'

const DAY = 86_400_000

const noon = Date.UTC(2026, 0, 15, 12)
const delivery: Delivery = {
  deliveryId: 7,
  target: 'crm',
  attempts: 2,
  round: 1,
  roundAttempts: 2,
  firstAttemptAt: 1_000,
  event: {
    eventId: 'evt_1',
    source: 'ultravox',
    event: 'call.ended',
    callId: 'call-1',
    receivedAt: 1_000,
    contentType: 'application/json',
    body: Buffer.from('{"event":"call.ended","call":{"callId":"call-1","summary":"PRIVATE"}}'),
  },
}
const attempt: Attempt = {
  attempt: 3,
  startedAt: 5_000,
  durationMs: 5,
  outcome: 'failed',
  status: 503,
  error: 'http 503',
  response: 'PRIVATE answer',
  note: null,
}
const alerts = {
  dead: deadDelivery(delivery, attempt),
  opened: targetOpened('crm', noon + 30_000),
  closed: targetClosed('crm'),
  silent: sourceSilent('ultravox', 90 * 60_000, noon),
  backlog: backlogOld('crm', 15 * 60_000, noon),
  space: lowSpace(100 * 1024 ** 2 + 5, 256 * 1024 ** 2),
  resumed: sourceResumed('ultravox'),
  cleared: backlogCleared('crm'),
  held: callsHeld('crm', 15 * 60_000, { deliveries: 90, calls: 3, since: noon }),
  released: callsReleased('crm'),
  spaceRecovered: spaceRecovered(300 * 1024 ** 2),
}
const payload = (alert: Alert) => payloadOf(alert, noon, 1)
const envelope = { at: '2026-01-15T12:00:00.000Z', count: 1 }

t.test('a dead delivery is told with all that is needed to find it', async (t) => {
  t.strictSame(payload(alerts.dead), {
    event: 'relay.delivery.dead',
    ...envelope,
    next: 'ultravox-relay deliveries show 7',
    message: 'A delivery of call.ended to target "crm" is dead after 3 attempts: http 503',
    delivery: {
      deliveryId: 7,
      target: 'crm',
      eventId: 'evt_1',
      source: 'ultravox',
      event: 'call.ended',
      callId: 'call-1',
      attempts: 3,
      status: 503,
      error: 'http 503',
    },
  })
})

t.test('neither the payload of the call nor the answer of the target is told', async (t) => {
  t.notMatch(JSON.stringify(payload(alerts.dead)), /PRIVATE/)
})

t.test('a breaker that opens or closes is told with its target', async (t) => {
  t.strictSame(payload(alerts.opened), {
    event: 'relay.target.opened',
    ...envelope,
    next: 'ultravox-relay deliveries list --state pending --target crm',
    message:
      'Target "crm" keeps failing: its deliveries wait, and the next attempt is made at 2026-01-15T12:00:30.000Z.',
    target: { name: 'crm', probeAt: '2026-01-15T12:00:30.000Z' },
  })
  t.strictSame(payload(alerts.closed), {
    event: 'relay.target.closed',
    ...envelope,
    next: 'ultravox-relay status',
    message: 'Target "crm" answers again: what has waited for it is on its way.',
    target: { name: 'crm' },
  })
})

t.test('an opened circuit is told with the failure that opened it, unless that call is erased', async (t) => {
  const opened = targetOpened('crm', noon, { delivery, status: 401, error: 'http 401' })
  t.match(payload(opened), {
    message:
      'Target "crm" keeps failing (last error: http 401): its deliveries wait, and the next attempt is made at 2026-01-15T12:00:00.000Z.',
    next: 'ultravox-relay deliveries show 7',
    delivery: { deliveryId: 7, callId: 'call-1', status: 401, error: 'http 401' },
  })
  t.equal(opened.quotes?.eventId, 'evt_1')
  t.match(payload(opened.quotes!.erased), { message: /last error: erased/, delivery: { error: 'erased' } })
})

t.test('a silent source is told with how long it may be silent and when it last was not', async (t) => {
  t.strictSame(payload(alerts.silent), {
    event: 'relay.source.silent',
    ...envelope,
    next: 'ultravox-relay doctor',
    message: 'Source "ultravox" has had no genuine event since 2026-01-15T12:00:00.000Z, for longer than 90m.',
    source: { name: 'ultravox', expectWithinMs: 5_400_000, lastEventAt: '2026-01-15T12:00:00.000Z' },
  })
  t.match(payload(sourceSilent('a', 1_500, null)), {
    message: 'Source "a" has had no genuine event since the start, for longer than 1500ms.',
    source: { lastEventAt: null },
  })
})

t.test('an old backlog is told with its target and its age', async (t) => {
  t.strictSame(payload(alerts.backlog), {
    event: 'relay.backlog.old',
    ...envelope,
    next: 'ultravox-relay deliveries list --state pending --target crm',
    message: 'The oldest due delivery to target "crm" has waited since 2026-01-15T12:00:00.000Z, for longer than 15m.',
    target: { name: 'crm', alertAfterMs: 900_000, oldestDueAt: '2026-01-15T12:00:00.000Z' },
  })
})

t.test('held calls are reported with the command that lists what holds them', async (t) => {
  t.strictSame(payload(alerts.held), {
    event: 'relay.target.calls_held',
    ...envelope,
    next: 'ultravox-relay deliveries list --target crm --holding',
    message:
      'Dead deliveries to target "crm" hold 3 calls: 90 deliveries wait behind them, since 2026-01-15T12:00:00.000Z, for longer than 15m. Retry or cancel the dead ones.',
    target: {
      name: 'crm',
      alertAfterMs: 900_000,
      held: 90,
      heldCalls: 3,
      heldSince: '2026-01-15T12:00:00.000Z',
    },
  })
})

t.test('low space is told with what is left and what should be', async (t) => {
  t.strictSame(payload(alerts.space), {
    event: 'relay.outbox.low_space',
    ...envelope,
    next: 'ultravox-relay prune --older-than 30d --dry-run',
    message:
      'The file system of the outbox has 100mb left, less than the reserve of 256mb: events are refused until there is more.',
    outbox: { freeBytes: 100 * 1024 ** 2 + 5, reserveBytes: 256 * 1024 ** 2 },
  })
})

const missed = [
  { event: 'call.started', callId: 'call-1' },
  { event: 'call.ended', callId: 'call-1' },
]

t.test('gaps, and silence while there are calls, are told with their events', async (t) => {
  t.strictSame(payload(reconcileGap('ultravox', { count: 2, events: missed })), {
    event: 'relay.reconcile.gap',
    ...envelope,
    next: 'ultravox-relay events gaps',
    message: '2 events never came to source "ultravox" and cannot be fetched: their calls were deleted at Ultravox.',
    gap: { source: 'ultravox', count: 2, events: missed },
  })
  t.strictSame(payload(sourceSilentThough('ultravox', noon, { count: 2, events: missed })), {
    event: 'relay.source.silent',
    ...envelope,
    next: 'ultravox-relay doctor',
    message:
      'Source "ultravox" has had no webhook since 2026-01-15T12:00:00.000Z, while Ultravox tells of 2 events since ' +
      'then; they were fetched.',
    source: { name: 'ultravox', lastEventAt: '2026-01-15T12:00:00.000Z' },
    missed: { count: 2, events: missed },
  })
})

const unreadable = {
  list: 'calls',
  since: noon,
  count: 3,
  callId: 'call-1',
  field: 'billingStatus',
  problem: 'GET /api/calls: results.0.billingStatus: Invalid input: expected string, received undefined',
} as const

t.test('calls that cannot be read are told with the field and one of them', async (t) => {
  const { since: _, ...facts } = unreadable
  t.strictSame(payload(reconcileUnreadable('ultravox', unreadable)), {
    event: 'relay.reconcile.unreadable',
    ...envelope,
    next: 'ultravox-relay status',
    message:
      'Ultravox lists 3 calls for source "ultravox" that cannot be read in full, such as call-1: ' +
      'GET /api/calls: results.0.billingStatus: Invalid input: expected string, received undefined. ' +
      'Their events may be missing: upgrade the relay, or report the field.',
    reconcile: { source: 'ultravox', ...facts },
  })
  t.match(payload(reconcileUnreadable('ultravox', { ...unreadable, list: 'deleted calls', count: 1, callId: null })), {
    message:
      /^Ultravox lists 1 deleted call for source "ultravox" that cannot be read in full, such as one without an id: /,
  })
})

const part = {
  endpoint: 'GET /api/deleted_calls',
  since: noon,
  at: noon + 60_000,
  failures: 3,
  message: 'GET /api/deleted_calls: the API key may not do this (403)',
}

t.test('a part of the API that fails is named with its own cause, and with what does not happen', async (t) => {
  t.match(payload(reconcileFailing('ultravox', [part])), {
    message:
      'Source "ultravox": GET /api/deleted_calls has failed 3 times since 2026-01-15T12:00:00.000Z, so events lost with ' +
      'deleted calls are not reported: GET /api/deleted_calls: the API key may not do this (403)',
    reconcile: {
      source: 'ultravox',
      endpoints: [{ endpoint: 'GET /api/deleted_calls', since: '2026-01-15T12:00:00.000Z', failures: 3 }],
    },
  })
})

t.test('there is an alert for each of the names that a route may have', async (t) => {
  const url = 'https://relay.example.com/webhooks/ultravox'
  const kinds = ['missing', 'moved', 'unhealthy', 'events', 'secrets', 'agent'] as const
  const provider = [
    reconcileGap('ultravox', { count: 2, events: missed }),
    reconcileFailing('ultravox', [part]),
    reconcileRecovered('ultravox'),
    reconcileUnreadable('ultravox', unreadable),
    reconcileReadable('ultravox'),
    ...kinds.map((kind) => webhookTrouble('ultravox', url, { kind, message: 'Something is wrong.' })),
    webhookRestored('ultravox', url),
  ]
  const facts = {
    subject: 'a',
    issuer: 'b',
    names: ['a'],
    notBefore: 0,
    notAfter: 90 * DAY,
    fingerprint: '',
    selfSigned: false,
  }
  const certificate = [
    ...lifetimeAlerts('server.tls', facts, 80 * DAY),
    ...lifetimeAlerts('server.tls', facts, 90 * DAY),
    certificateRenewed('server.tls', facts),
    certificateReloadFailed('server.tls', 'key: permission denied', facts),
    certificateReloaded('server.tls', facts),
  ]
  const outbox = [outboxFull(1, 1), logHeld(1, '/relay.db'), outboxSizeRecovered(), walReleased()]
  t.strictSame(
    [...Object.values(alerts), ...provider, ...certificate, ...outbox].map(({ event }) => event).sort(),
    [...RELAY_EVENTS].sort(),
  )
})

t.test('a folded alert says of how many it is the last', async (t) => {
  const folded = payloadOf(alerts.closed, noon, 12)
  t.equal(folded.count, 12)
  t.match(folded.message, /on its way\. \(The last of 12 since the previous alert\.\)$/)
})

t.test("somebody else's text is cut in the message, and whole in the facts", async (t) => {
  const error = 'x'.repeat(500)
  const told = payload(deadDelivery(delivery, { ...attempt, error }))
  t.ok((told.message as string).length < 300)
  t.match(told.delivery, { error })
})
