import t from 'tap'
import type { SweepPlace } from '../../src/outbox/reconciliation.ts'
import { eventBody } from '../../src/ultravox/lifecycle.ts'
import { type MissedEvent, noFindings } from '../../src/ultravox/reconciler.ts'
import { found, GRACE, MINUTE, trialReconciler } from './trial-reconciler.ts'

const never = new AbortController().signal
const NONE = { there: 0, missing: 0, recorded: 0, unrecoverable: 0, tooRecent: 0, notHappened: 0, unreadable: 0 }

t.test('what a call must have had is recorded once the grace is over, and only once', async (t) => {
  const { api, clock, sweep } = await trialReconciler(t)
  api.calls.create({ callId: 'a' })
  api.calls.join('a')
  t.same(found((await sweep()).recorded), [], 'the provider may still send them')
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded), ['call.started a', 'call.joined a'])
  api.calls.end('a')
  t.same(found((await sweep()).recorded), [])
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded), ['call.ended a'])
  t.same(found((await sweep()).recorded), [])
})

t.test('what is recorded is the event with the call byte for byte', async (t) => {
  const bodies: string[] = []
  const { api, clock, sweep } = await trialReconciler(t, {
    events: ['call.ended'],
    take: async (body) => bodies.push(body.toString()) > 0,
  })
  api.calls.create({ callId: 'a', moreText: '"initialState":{"n":12345678901234567890,"n":1.0}' })
  api.calls.end('a')
  clock.advance(GRACE)
  await sweep()
  t.same(bodies, [`{"event":"call.ended","call":${api.calls.text('a')}}`])
})

t.test('an event that came by webhook is there, and one that comes afterwards is a duplicate', async (t) => {
  const { api, clock, sweep, arrive } = await trialReconciler(t)
  api.calls.create({ callId: 'a' })
  await arrive(eventBody('call.started', Buffer.from(api.calls.text('a'))))
  clock.advance(GRACE)
  const first = await sweep()
  t.same(first.counts.get('call.started'), { ...NONE, there: 1 })
  api.calls.create({ callId: 'b' })
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded), ['call.started b'])
  t.equal((await arrive(eventBody('call.started', Buffer.from(api.calls.text('b'))))).duplicate, true)
})

t.test('a webhook that comes in the same moment makes no second event, and is not counted as fetched', async (t) => {
  const trial = await trialReconciler(t, {
    async take(body) {
      // The webhook wins by a hair.
      await trial.arrive(body)
      return !(await trial.arrive(body)).duplicate
    },
  })
  trial.api.calls.create({ callId: 'a' })
  trial.clock.advance(GRACE)
  const findings = await trial.sweep()
  t.same(findings.recorded, [])
  t.same(findings.counts.get('call.started'), { ...NONE, missing: 1 })
})

t.test('billing that is seen to come has its grace from then; of a call never seen before, from its end', async (t) => {
  const { api, clock, sweep } = await trialReconciler(t, { events: ['call.billed'] })
  api.calls.create({ callId: 'seen' })
  api.calls.end('seen')
  clock.advance(10 * GRACE)
  await sweep()
  api.calls.bill('seen')
  t.same(found((await sweep()).recorded), [], 'its webhook is on the way')
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded), ['call.billed seen'])

  api.calls.create({ callId: 'unseen' })
  api.calls.end('unseen')
  api.calls.bill('unseen')
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded), ['call.billed unseen'])
})

t.test('a call with an unknown billing status counts as billed; one that is pending does not', async (t) => {
  const { api, clock, sweep } = await trialReconciler(t, { events: ['call.billed'] })
  for (const status of ['BILLING_STATUS_FREE_CONSOLE', 'BILLING_STATUS_OF_TOMORROW', 'BILLING_STATUS_PENDING']) {
    api.calls.create({ callId: status })
    api.calls.end(status)
    api.calls.bill(status, status)
  }
  clock.advance(GRACE)
  t.same(found((await sweep()).recorded).sort(), [
    'call.billed BILLING_STATUS_FREE_CONSOLE',
    'call.billed BILLING_STATUS_OF_TOMORROW',
  ])
})

t.test('events nobody subscribes to are not looked for, nor calls of other agents', async (t) => {
  const { api, clock, sweep } = await trialReconciler(t, { events: ['call.ended'], agentId: 'agent-1' })
  for (const agentId of ['agent-1', 'agent-2']) {
    api.calls.create({ callId: agentId, agentId })
    api.calls.end(agentId)
    api.calls.create({ callId: `deleted ${agentId}`, agentId })
    api.calls.end(`deleted ${agentId}`)
    api.calls.delete(`deleted ${agentId}`)
  }
  clock.advance(GRACE)
  const { recorded, gaps } = await sweep()
  t.same(found(recorded), ['call.ended agent-1'])
  t.same(found(gaps), ['call.ended deleted agent-1'])
})

t.test('events of deleted calls are gaps, told of once; those that had come before are not', async (t) => {
  const { api, clock, sweep, arrive } = await trialReconciler(t)
  api.calls.create({ callId: 'a' })
  await arrive(eventBody('call.started', Buffer.from(api.calls.text('a'))))
  api.calls.join('a')
  api.calls.end('a')
  api.calls.bill('a')
  api.calls.delete('a')
  t.same((await sweep()).gaps, [], 'they may still be on their way')
  clock.advance(GRACE)
  const { gaps, counts } = await sweep()
  t.same(found(gaps).sort(), ['call.ended a', 'call.joined a'], 'whether it was billed, nothing tells')
  t.equal(counts.get('call.joined')?.unrecoverable, 1)
  t.same((await sweep()).gaps, [])
})

t.test('calls that change, come and go between two pages are all accounted for', async (t) => {
  for (const order of ['oldest first', 'newest first'] as const) {
    const { api, clock, sweep } = await trialReconciler(t, { graceMs: 0 }, { pageSize: 2, order })
    for (const callId of ['a', 'b', 'c', 'd', 'e']) api.calls.create({ callId })
    const steps = [() => {}, () => api.calls.end('a'), () => api.calls.delete('c'), () => api.calls.end('e')]
    api.beforeAnswer(() => steps.shift()?.())
    const events = ['a', 'b', 'c', 'd', 'e'].map((callId) => `call.started ${callId}`)
    const first = await sweep()
    clock.advance(1)
    const second = await sweep()
    const seen = [...first.recorded, ...first.gaps, ...second.recorded, ...second.gaps]
    t.same(found(seen).sort(), ['call.ended a', 'call.ended e', ...events].sort(), order)
  }
})

t.test('an empty hour takes one request for the calls and one for the deleted ones', async (t) => {
  const { api, sweep } = await trialReconciler(t)
  await sweep()
  t.same(
    api.requests.map(({ path }) => path),
    ['/api/calls', '/api/deleted_calls'],
  )
})

t.test('a sweep that is cut off goes on at its page', async (t) => {
  const { api, clock, reconciler, place } = await trialReconciler(t, {}, { pageSize: 2, order: 'oldest first' })
  for (const callId of ['a', 'b', 'c', 'd', 'e']) api.calls.create({ callId })
  clock.advance(GRACE)
  const places: SweepPlace[] = []
  const cut = new Error('cut off')
  const stop = async (next: SweepPlace) => {
    places.push(next)
    if (places.length === 2) throw cut
  }
  const start = { ...place, to: clock.now() }
  await t.rejects(reconciler.lookThroughCalls(start, noFindings(), stop, never), cut)
  const recorded: MissedEvent[] = []
  const rest = noFindings((event) => recorded.push(event))
  await reconciler.lookThroughCalls(places[1]!, rest, async () => {}, never)
  t.same(found(recorded), ['call.started e'])
  t.equal(rest.calls, 1)
})

t.test('where a kept page is one no more, the list is begun anew', async (t) => {
  for (const status of [400, 404, 500]) {
    const { api, clock, reconciler, place } = await trialReconciler(t, {}, { pageSize: 1 })
    api.calls.create({ callId: 'a' })
    clock.advance(GRACE)
    api.misbehave({ kind: 'answer', status }, { times: 100, when: ({ query }) => query.cursor !== undefined })
    const recorded: MissedEvent[] = []
    const stale = { ...place, to: clock.now(), page: '/api/calls?cursor=c3RhbGU%3D' }
    const findings = noFindings((event) => recorded.push(event))
    await reconciler.lookThroughCalls(stale, findings, async () => {}, never)
    t.same(found(recorded), ['call.started a'], String(status))
  }
})

t.test('without anything to record by it only counts', async (t) => {
  const { api, clock, sweep, outbox } = await trialReconciler(t, { take: null })
  api.calls.create({ callId: 'a' })
  api.calls.create({ callId: 'b' })
  api.calls.delete('b')
  clock.advance(GRACE)
  const { counts } = await sweep()
  t.same(counts.get('call.started'), { ...NONE, missing: 2, unrecoverable: 1 })
  const events = ['a', 'b'].map((callId) => ({ event: 'call.started', callId }))
  t.same(found(await outbox.missingEvents('default', events)), ['call.started a', 'call.started b'])
  t.equal((await outbox.untoldGaps('ultravox', 10)).count, 0, 'no gap was put on record')
})

t.test('fields that cannot be read are reported, and take nothing from the others of their call', async (t) => {
  const odd: [string, unknown, string[], string?][] = [
    ['billingStatus', 7, ['call.started', 'call.joined', 'call.ended']],
    ['billingStatus', undefined, ['call.started', 'call.joined', 'call.ended']],
    ['billingStatus', null, ['call.started', 'call.joined', 'call.ended']],
    ['billingStatus', 'BILLING_STATUS_OF_TOMORROW', ['call.started', 'call.joined', 'call.ended', 'call.billed']],
    ['created', 1_768_478_400, ['call.joined', 'call.ended', 'call.billed']],
    ['created', undefined, ['call.joined', 'call.ended', 'call.billed']],
    ['joined', { at: 'noon' }, ['call.started', 'call.ended', 'call.billed']],
    ['ended', 'yesterday', ['call.started', 'call.joined', 'call.billed']],
    ['ended', 1_768_478_400_000, ['call.started', 'call.joined', 'call.billed']],
  ]
  for (const [field, value, events] of odd) {
    const { api, clock, sweep } = await trialReconciler(t)
    for (const callId of ['odd', 'sound']) {
      api.calls.create({ callId })
      api.calls.join(callId)
      api.calls.end(callId)
      api.calls.bill(callId)
    }
    api.calls.override('odd', { [field]: value })
    clock.advance(GRACE)
    const { recorded, unreadable, counts } = await sweep()
    const sound = ['call.started', 'call.joined', 'call.ended', 'call.billed'].map((event) => `${event} sound`)
    const what = `${field}: ${JSON.stringify(value)}`
    t.same(found(recorded).sort(), [...sound, ...events.map((event) => `${event} odd`)].sort(), what)
    t.match(unreadable, { count: 1, callId: 'odd', field, first: `GET /api/calls: results.1.${field}: ` }, what)
    t.notMatch(unreadable.first, /1768478400|yesterday|noon|TOMORROW/, 'what is there is not told')
    for (const { there, missing, tooRecent, notHappened, unreadable } of counts.values()) {
      t.equal(there + missing + tooRecent + notHappened + unreadable, 2, 'every call is in one column')
    }
  }
})

t.test('what is no call, or one that cannot be an event, is reported, and those beside it are fetched', async (t) => {
  const entries = ['null', '[]', '7', '{"created":"2026-01-15T12:00:00Z"}', '{"callId":""}']
  for (const entry of [
    ...entries,
    '{"callId":"\ufffd","created":"2026-01-15T12:00:00Z","billingStatus":"BILLING_STATUS_PENDING"}',
  ]) {
    const { api, clock, sweep } = await trialReconciler(t)
    api.calls.create({ callId: 'sound' })
    clock.advance(GRACE)
    api.misbehave(
      { kind: 'edit', edit: (page) => page.replace('"results":[', `"results":[${entry},`) },
      { when: ({ path }) => path === '/api/calls' },
    )
    const { recorded, unreadable } = await sweep()
    t.same(found(recorded), ['call.started sound'], entry)
    t.equal(unreadable.count, 1, entry)
  }
})

t.test('of a tombstone, too, each field is judged on its own', async (t) => {
  const { api, clock, sweep } = await trialReconciler(t)
  api.calls.create({ callId: 'odd' })
  api.calls.join('odd')
  api.calls.override('odd', { ended: 'some day', endReason: 7 })
  api.calls.delete('odd')
  clock.advance(GRACE)
  const { gaps, unreadable, counts } = await sweep()
  t.same(found(gaps).sort(), ['call.joined odd', 'call.started odd'])
  t.match(unreadable, {
    count: 1,
    callId: 'odd',
    field: 'ended',
    first: /^GET \/api\/deleted_calls: results\.0\.ended: /,
  })
  t.match(counts.get('call.ended'), { ...NONE, unreadable: 1 })
})

t.test('a page without a list is a failure of the sweep, which goes on there', async (t) => {
  const { api, clock, reconciler, place } = await trialReconciler(t, {}, { pageSize: 1, order: 'oldest first' })
  for (const callId of ['a', 'b', 'c']) api.calls.create({ callId })
  clock.advance(GRACE)
  for (const body of ['{"results":{}}', '{"next":null}', '[]', 'null', '<html>', '{"results":null}']) {
    const places: SweepPlace[] = []
    const keep = async (next: SweepPlace) => void places.push(next)
    api.misbehave({ kind: 'answer', status: 200, body }, { when: ({ query }) => query.cursor !== undefined })
    const all = { ...place, to: clock.now() }
    await t.rejects(reconciler.lookThroughCalls(all, noFindings(), keep, never), { code: 'provider_failed' }, body)
    const rest = noFindings()
    await reconciler.lookThroughCalls(places.at(-1)!, rest, keep, never)
    t.equal(rest.calls, 2, 'after the page that could be read')
  }
})

t.test('many calls are swept page by page, each on record before the next is asked for', async (t) => {
  let taken = 0
  const { api, clock, sweep } = await trialReconciler(t, {
    events: ['call.started'],
    take: async () => ++taken > 0,
  })
  for (let i = 0; i < 2_000; i++) api.calls.create({ callId: `call-${i}` })
  clock.advance(MINUTE + GRACE)
  const before: number[] = []
  api.beforeAnswer(({ path }) => {
    if (path === '/api/calls') before.push(taken)
  })
  t.equal((await sweep()).recorded.length, 2_000)
  t.same(
    before,
    Array.from({ length: 20 }, (_, page) => page * 100),
    'no more than one page is in memory',
  )
})
