import t from 'tap'
import { DAY, HOUR, LIFE, MINUTE, nameOf, trialSweeps } from './trial-sweeps.ts'

const EVERY = 10 * MINUTE
type Trial = Awaited<ReturnType<typeof trialSweeps>>

/** A call that is over and billed, its webhooks received or not. */
async function wholeCall({ api, webhook }: Trial, callId: string, arrives: boolean): Promise<void> {
  const received: Promise<boolean>[] = []
  api.calls.create({ callId })
  if (arrives) received.push(webhook('call.started', callId))
  api.calls.join(callId)
  if (arrives) received.push(webhook('call.joined', callId))
  api.calls.end(callId)
  if (arrives) received.push(webhook('call.ended', callId))
  api.calls.bill(callId)
  if (arrives) received.push(webhook('call.billed', callId))
  await Promise.all(received)
}

const lifeOf = (callId: string) => LIFE.map((event) => `${event} ${callId}`)

t.test('a sweep costs what can still change, not what the lookback holds', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, sweep } = trial
  for (let i = 0; i < 100; i += 1) {
    await wholeCall(trial, `call-${i}`, true)
    clock.advance(15 * MINUTE)
  }
  const first = await sweep()
  t.same(first.requests, { pages: 10, deletedPages: 1, single: 0 }, 'all of it, the first time')
  for (let i = 100; i < 110; i += 1) {
    for (const callId of [`call-${i}-a`, `call-${i}-b`]) await wholeCall(trial, callId, true)
    clock.advance(EVERY)
    const { requests, recorded, failures } = await sweep()
    t.same(requests, { pages: 1, deletedPages: 1, single: 0 }, 'what was created since')
    t.same([recorded, failures], [[], []])
  }
  t.same(await trial.awaited(), [], 'nothing is kept of complete calls')
  clock.advance(DAY)
  const { pages } = (await sweep()).requests
  t.ok(pages >= 5, `once a day all of it again: ${pages} pages`)
})

t.test('complete calls shortly before a quiet time are not listed by each sweep', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, sweep } = trial
  for (let i = 0; i < 40; i += 1) {
    await wholeCall(trial, `call-${i}`, true)
    clock.advance(1_000)
  }
  clock.advance(HOUR)
  t.same((await sweep()).requests, { pages: 4, deletedPages: 1, single: 0 }, 'all of them, the first time')
  for (let i = 0; i < 4; i += 1) {
    clock.advance(EVERY)
    t.same((await sweep()).requests, { pages: 1, deletedPages: 1, single: 0 }, 'the newest of them')
  }
  await wholeCall(trial, 'later', false)
  clock.advance(HOUR)
  await sweep()
  t.same(await trial.onRecord(['later']), lifeOf('later'), 'a call after it is found')
})

t.test('old calls are looked at again one by one where they are few, and by pages where they are many', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, webhook } = trial
  for (let i = 0; i < 200; i += 5) {
    const callId = `call-${i}`
    if (i % 50 !== 0) await wholeCall(trial, callId, true)
    else {
      api.calls.create({ callId })
      await webhook('call.started', callId)
    }
    clock.advance(5 * MINUTE)
  }
  await sweep()
  t.equal((await trial.awaited()).length, 4)
  clock.advance(20 * MINUTE)
  t.same((await sweep()).requests, { pages: 1, deletedPages: 1, single: 4 })
  for (const i of [0, 50, 100, 150]) {
    api.calls.join(`call-${i}`)
    api.calls.end(`call-${i}`)
    api.calls.bill(`call-${i}`)
  }
  clock.advance(19 * MINUTE)
  const early = await sweep()
  t.same([early.recorded, early.requests.single], [[], 0], 'nothing can be overdue yet')
  clock.advance(MINUTE)
  const late = await sweep()
  t.equal(late.recorded.length, 12)
  t.same(await trial.awaited(), [])

  for (let i = 0; i < 100; i += 1) {
    api.calls.create({ callId: `open-${i}` })
    clock.advance(6_000)
  }
  await sweep()
  clock.advance(2 * HOUR)
  const dense = await sweep()
  t.equal(dense.recorded.length, 100)
  t.ok(dense.requests.single <= 10, `${dense.requests.single} single requests for 100 calls`)
  t.ok(dense.requests.pages <= 15, `${dense.requests.pages} pages`)
})

t.test('an event is fetched by the first sweep after its grace, also where billing takes half a day', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, onRecord } = trial
  await sweep()
  api.calls.create({ callId: 'slow' })
  const steps: [number, () => void][] = [
    [35 * MINUTE, () => api.calls.join('slow')],
    [100 * MINUTE, () => api.calls.end('slow')],
    [700 * MINUTE, () => api.calls.bill('slow')],
  ]
  const due = [20, 55, 120, 740].map((minute, index) => ({ event: LIFE[index]!, by: minute * MINUTE + EVERY }))
  for (let at = 0; at < 800 * MINUTE; at += EVERY) {
    while (steps[0] !== undefined && steps[0][0] < at + EVERY) {
      clock.advance(steps[0][0] - at - (steps[0][0] % EVERY))
      steps.shift()![1]()
    }
    clock.advance(EVERY)
    await sweep()
    const present = await onRecord(['slow'])
    for (const { event, by } of due) {
      if (at + EVERY >= by) t.ok(present.includes(`${event} slow`), `${event} after ${(at + EVERY) / MINUTE} minutes`)
    }
  }
  t.same(await trial.awaited(), [])
})

t.test('a call that never is billed is looked at ever more rarely, and forgotten after the lookback', async (t) => {
  const trial = await trialSweeps(t, { lookbackMs: 6 * DAY })
  const { clock, api, sweep, webhook } = trial
  api.calls.create({ callId: 'stuck' })
  api.calls.end('stuck')
  for (const event of ['call.started', 'call.ended']) await webhook(event, 'stuck')
  const perDay: number[] = []
  for (let day = 0; day < 7; day += 1) {
    let single = 0
    for (let at = 0; at < DAY; at += HOUR) {
      single += (await sweep()).requests.single
      clock.advance(HOUR)
    }
    perDay.push(single)
  }
  t.ok(perDay[1]! <= 24 && perDay[5]! <= 6, `looked at ${perDay.join(', ')} times a day`)
  t.same(await trial.awaited(), [], 'forgotten')
})

t.test('a known call that is deleted leaves a gap; one that was whole does not', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, webhook, gaps } = trial
  await sweep()
  await wholeCall(trial, 'whole', true)
  for (const callId of ['lost', 'vanished']) {
    api.calls.create({ callId })
    await webhook('call.started', callId)
  }
  clock.advance(EVERY)
  await sweep()
  clock.advance(2 * HOUR)
  await sweep()
  api.calls.join('lost')
  api.calls.end('lost')
  for (const callId of ['whole', 'lost', 'vanished']) api.calls.delete(callId)
  api.calls.forgetTombstone('vanished')
  clock.advance(EVERY + 20 * MINUTE)
  await sweep()
  clock.advance(20 * MINUTE)
  await sweep()
  t.same((await gaps()).sort(), ['call.ended lost', 'call.joined lost'])
  t.same(await trial.awaited(), ['vanished'], 'what left no tombstone is looked for until the lookback is over')
  clock.advance(2 * DAY)
  await sweep()
  t.same(await trial.awaited(), [])
})

t.test('calls that are created and deleted between two sweeps leave gaps', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, gaps } = trial
  await sweep()
  clock.advance(MINUTE)
  api.calls.create({ callId: 'short' })
  api.calls.end('short')
  api.calls.delete('short')
  for (let i = 0; i < 4; i += 1) {
    clock.advance(EVERY)
    await sweep()
  }
  t.same((await gaps()).sort(), ['call.ended short', 'call.started short'])
  t.same(await trial.awaited(), [])
})

t.test('a call that the provider lists a day late is found by the full pass', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, onRecord } = trial
  await wholeCall(trial, 'hidden', false)
  api.calls.hide('hidden')
  await sweep()
  for (let i = 0; i < 10; i += 1) {
    await wholeCall(trial, `shown-${i}`, true)
    clock.advance(EVERY)
    await sweep()
  }
  api.calls.show('hidden')
  clock.advance(EVERY)
  await sweep()
  t.same(await onRecord(['hidden']), [])
  clock.advance(22 * HOUR + 30 * MINUTE)
  await sweep()
  t.same(await onRecord(['hidden']), lifeOf('hidden'))
})

t.test('a clock that is ahead, behind, or set right again passes no call over', async (t) => {
  for (const skewMs of [3 * HOUR, 5 * DAY, -5 * MINUTE]) {
    const trial = await trialSweeps(t)
    const { clock, skew, sweep, onRecord } = trial
    await wholeCall(trial, 'before', false)
    clock.advance(HOUR)
    await sweep()
    skew.ms = skewMs
    await sweep()
    await wholeCall(trial, 'while', false)
    clock.advance(HOUR)
    await sweep()
    clock.advance(HOUR)
    await sweep()
    // Further ahead than the lookback, nothing tells an old call from a new one before the clock is right again.
    if (skewMs < DAY) t.same(await onRecord(['while']), lifeOf('while'), `${skewMs / MINUTE} minutes off`)
    skew.ms = 0
    await sweep()
    t.same(await onRecord(['while']), lifeOf('while'), `was ${skewMs / MINUTE} minutes off`)
    await wholeCall(trial, 'after', false)
    clock.advance(HOUR)
    await sweep()
    t.same(await onRecord(['before', 'after']), [...lifeOf('before'), ...lifeOf('after')], 'set right')
  }
})

t.test('after a change of what is looked for, all calls are looked at again', async (t) => {
  const trial = await trialSweeps(t, { events: ['call.ended'], agentId: 'agent-1', lookbackMs: 2 * HOUR })
  const { clock, api, sweep, onRecord, restart } = trial
  for (const [callId, agentId] of [
    ['mine', 'agent-1'],
    ['other', 'agent-2'],
  ] as const) {
    api.calls.create({ callId, agentId })
    api.calls.join(callId)
    api.calls.end(callId)
  }
  api.calls.create({ callId: 'open', agentId: 'agent-1' })
  clock.advance(HOUR)
  await sweep()
  t.same(await onRecord(['mine', 'other', 'open']), ['call.ended mine'])
  restart({ agentId: 'agent-2', events: ['call.ended', 'call.joined'] })
  const { requests } = await sweep()
  t.equal(requests.single, 0, 'calls that are not looked for any more are not asked for')
  t.same(await onRecord(['mine', 'other', 'open']), ['call.ended mine', 'call.joined other', 'call.ended other'])
  restart({ agentId: null, events: LIFE, lookbackMs: 2 * HOUR })
  await sweep()
  const all = ['mine', 'other'].flatMap((callId) => lifeOf(callId).slice(0, 3))
  t.same(await onRecord(['mine', 'other', 'open']), [...all, 'call.started open'])
})

t.test('a longer lookback is read at once', async (t) => {
  const trial = await trialSweeps(t, { lookbackMs: HOUR })
  const { clock, sweep, onRecord, restart } = trial
  await wholeCall(trial, 'old', false)
  clock.advance(3 * HOUR)
  await sweep()
  t.same(await onRecord(['old']), [])
  restart({ lookbackMs: 4 * HOUR })
  await sweep()
  t.same(await onRecord(['old']), lifeOf('old'))
  const before = await sweep()
  t.same(before.requests, { pages: 1, deletedPages: 1, single: 0 })
})

t.test('a full pass that cannot come to its end keeps its place, and new calls are looked at meanwhile', async (t) => {
  const trial = await trialSweeps(t, {}, { pageSize: 1, order: 'oldest first' })
  const { clock, api, sweep, onRecord, restart } = trial
  for (const callId of ['a', 'b', 'c']) await wholeCall(trial, callId, false)
  const old = clock.now()
  clock.advance(HOUR)
  let isBroken = true
  api.misbehave(
    { kind: 'answer', status: 200, body: '{"results":"none"}' },
    {
      times: 100,
      when: ({ path, query }) =>
        isBroken && path === '/api/calls' && query.cursor !== undefined && Date.parse(query.fromDate!) < old,
    },
  )
  t.match((await sweep()).failures, [{ code: 'provider_failed' }])
  t.same(await onRecord(['a', 'b', 'c']), lifeOf('a'))
  await wholeCall(trial, 'new', false)
  restart()
  for (const wait of [EVERY, EVERY + MINUTE]) {
    clock.advance(wait)
    t.match((await sweep()).failures, [{ code: 'provider_failed' }])
  }
  t.same(await onRecord(['new']), lifeOf('new'))
  isBroken = false
  const before = api.requests.length
  t.same((await sweep()).failures, [])
  const first = api.requests.slice(before).find(({ query }) => Date.parse(query.fromDate!) < old)
  t.ok(first?.query.cursor, 'it goes on behind the first page')
  t.same(await onRecord(['b', 'c']), [...lifeOf('b'), ...lifeOf('c')])
})

t.test('a list that leads nowhere is begun again by each sweep, so new calls are seen', async (t) => {
  const trial = await trialSweeps(t, {}, { pageSize: 2 })
  const { clock, api, sweep, onRecord } = trial
  for (const callId of ['a', 'b', 'c', 'd']) await wholeCall(trial, callId, false)
  api.misbehave({ kind: 'next', to: (next) => (next === null ? null : 7) }, { times: 1_000 })
  for (const callId of ['e', 'f']) {
    await wholeCall(trial, callId, false)
    clock.advance(HOUR)
    t.match((await sweep()).failures, [{ name: 'BrokenList' }])
    t.same(await onRecord([callId]), lifeOf(callId))
  }
})

t.test('what fails for one call or one list stops neither the others', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep, onRecord } = trial
  for (let i = 0; i < 12; i += 1) {
    api.calls.create({ callId: `call-${i}` })
    clock.advance(30 * MINUTE)
  }
  await sweep()
  for (let i = 0; i < 12; i += 1) api.calls.end(`call-${i}`)
  clock.advance(HOUR)
  const failing = Array.from({ length: 6 }, (_, i) => `/api/calls/call-${i}`)
  api.misbehave({ kind: 'answer', status: 403 }, { times: 1_000, when: ({ path }) => failing.includes(path) })
  api.misbehave({ kind: 'answer', status: 403 }, { times: 1_000, when: ({ path }) => path === '/api/deleted_calls' })
  for (let i = 0; i < 6; i += 1) {
    await sweep()
    clock.advance(EVERY)
  }
  const others = Array.from({ length: 6 }, (_, i) => `call-${i + 6}`)
  t.same(
    (await onRecord(others)).filter((name) => name.startsWith('call.ended')),
    others.map((callId) => `call.ended ${callId}`),
  )
})

t.test('while calls cannot be read, the lookback is read again: often at first, then rarely', async (t) => {
  const trial = await trialSweeps(t)
  const { clock, api, sweep } = trial
  await wholeCall(trial, 'odd', true)
  api.calls.override('odd', { created: 7 })
  clock.advance(2 * HOUR)
  const first = await sweep()
  t.match(first.lists, [{ list: 'calls', full: true, findings: { unreadable: { count: 1, callId: 'odd' } } }, {}])
  const since = clock.now()
  const full: number[] = []
  for (let at = EVERY; at <= 8 * HOUR; at += EVERY) {
    clock.advance(EVERY)
    if ((await sweep(since)).lists[0]!.full) full.push(at / MINUTE)
  }
  t.same(full.slice(0, 4), [10, 20, 30, 40])
  t.ok(full.length < 30, `${full.length} of 48 sweeps were full`)
})

t.test('random lives, lost webhooks, restarts and failures: every event is there or a gap', async (t) => {
  for (let seed = 1; seed <= Number(process.env.SEEDS ?? 1); seed += 1) {
    const random = seeded(seed)
    const trial = await trialSweeps(t, {}, { order: seed % 2 === 0 ? 'oldest first' : 'newest first' })
    const { clock, api, sweep, webhook, restart } = trial
    const happened = new Map<string, Set<string>>()
    const queue: { at: number; act: () => void }[] = []
    const later = (minutes: number, act: () => void) => queue.push({ at: clock.now() + minutes * MINUTE, act })
    const webhooks: (() => Promise<unknown>)[] = []
    const tell = (event: string, callId: string) => {
      happened.get(callId)!.add(event)
      const body = random() < 0.7
      if (body) webhooks.push(() => webhook(event, callId))
    }
    const deleted = new Set<string>()
    const begin = (callId: string) => {
      happened.set(callId, new Set())
      api.calls.create({ callId })
      tell('call.started', callId)
      const joins = random() < 0.9
      const length = random() * 40
      if (joins) {
        later(1, () => {
          api.calls.join(callId)
          tell('call.joined', callId)
        })
      }
      later(2 + length, () => {
        api.calls.end(callId)
        tell('call.ended', callId)
        const billed = 2 + length + random() ** 4 * 300
        later(billed, () => {
          if (deleted.has(callId)) return
          api.calls.bill(callId)
          tell('call.billed', callId)
        })
        if (random() < 0.15) {
          later(random() * 300, () => {
            if (deleted.has(callId)) return
            deleted.add(callId)
            api.calls.delete(callId)
          })
        }
      })
    }
    let made = 0
    for (let step = 0; step < 36; step += 1) {
      for (let minute = 0; minute < 10; minute += 1) {
        if (random() < 0.15) {
          made += 1
          begin(`call-${made}`)
        }
        clock.advance(MINUTE)
        for (const due of queue.splice(0)) {
          if (due.at <= clock.now()) due.act()
          else queue.push(due)
        }
        await Promise.all(webhooks.splice(0).map((send) => send()))
      }
      if (random() < 0.1) restart()
      if (random() < 0.1) api.misbehave({ kind: 'answer', status: 403 }, { when: () => random() < 0.5 })
      await sweep()
    }
    for (let step = 0; step < 50; step += 1) {
      clock.advance(EVERY)
      for (const due of queue.splice(0)) {
        if (due.at <= clock.now()) due.act()
        else queue.push(due)
      }
      await Promise.all(webhooks.splice(0).map((send) => send()))
      await sweep()
    }
    const callIds = [...happened.keys()]
    const there = new Set([...(await trial.onRecord(callIds)), ...(await trial.gaps())])
    const absent = callIds.flatMap((callId) =>
      [...happened.get(callId)!]
        .map((event) => nameOf({ event, callId }))
        .filter((name) => !there.has(name) && !(deleted.has(callId) && name.startsWith('call.billed'))),
    )
    t.same(absent, [], `seed ${seed}: ${callIds.length} calls`)
  }
})

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
