import { DELIVERED, FAILED, Queue, REJECTED, type Setting } from './queue-fixture.ts'
import { QueueLane } from './queue-lane.ts'

/** Brings a delivery into a state, has something happen to it, and returns the result in the words of the state table. */
export type Scenario = (setting: Setting) => Promise<string>

/** By the state and what happens. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  'ready: the lane claims it': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.claimOne(id!)
    const others = await queue.claim()
    return `${await queue.state(id!)}; ${others.length === 0 ? 'no' : 'an'} other claim returns it`
  },

  'ready: retry': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, FAILED)
    await queue.retry(id!)
    return `${await queue.state(id!)}: ${await queue.due(id!)}, ${await queue.budget(id!)}`
  },

  'ready: cancel': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [first, second] = await queue.record(3)
    await queue.cancel(first!)
    return `${await queue.state(first!)}; the next delivery of its call is ${await queue.state(second!)}`
  },

  'ready: an older delivery of its call is retried': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [older, id] = await queue.record(2)
    await queue.attempt(older!, REJECTED)
    // Due now, and put off until later.
    const before = await queue.state(id!)
    await queue.attempt(id!, FAILED)
    await queue.retry(older!)
    if (before !== 'ready' || (await queue.state(older!)) !== 'ready') return 'the older one is not ready'
    return queue.state(id!)
  },

  'waiting: the lane claims': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [first, second] = await queue.record(2)
    await queue.claimOne(first!)
    return queue.state(second!)
  },

  'waiting: retry': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [first, second, third] = await queue.record(3)
    await queue.attempt(first!, REJECTED)
    await queue.attempt(second!, FAILED)
    await queue.retry(first!)
    await queue.retry(second!)
    const state = await queue.state(second!)
    await queue.attempt(first!, DELIVERED)
    const isNext = (await queue.state(second!)) === 'ready' && (await queue.state(third!)) === 'waiting'
    const isFresh = (await queue.budget(second!)) === 'with a fresh budget'
    return `${state}: its budget is ${isFresh ? 'fresh' : 'spent'}, its place is ${isNext ? 'kept' : 'lost'}`
  },

  'waiting: cancel': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [, second] = await queue.record(2)
    await queue.cancel(second!)
    return queue.state(second!)
  },

  'waiting: all earlier deliveries of its call have ended': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [first, second, third, id] = await queue.record(4)
    await queue.attempt(first!, DELIVERED)
    await queue.attempt(second!, REJECTED)
    const before = await queue.state(id!)
    await queue.cancel(third!)
    return before === 'waiting' ? queue.state(id!) : before
  },

  'waiting: the dead delivery that holds its call is retried or cancelled': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first, second, third] = await queue.record(3)
    const seen: string[] = []
    await queue.attempt(first!, REJECTED)
    seen.push(await queue.state(second!))
    await queue.retry(first!)
    seen.push(await queue.state(second!))
    await queue.attempt(first!, DELIVERED)
    seen.push(await queue.state(second!))
    await queue.attempt(second!, REJECTED)
    seen.push(await queue.state(third!))
    await queue.cancel(second!)
    seen.push(await queue.state(third!))
    const asExpected = ['waiting', 'waiting', 'ready', 'waiting', 'ready'].every((state, n) => state === seen[n])
    return asExpected ? `${seen.at(-1)} once that delivery has ended` : seen.join(', ')
  },

  'waiting: the target is no longer ordered': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first, second, third] = await queue.record(3)
    await queue.attempt(first!, REJECTED)
    const before = await queue.states(second!, third!)
    await queue.apply('none')
    return became('waiting', before, await queue.states(second!, third!))
  },

  'waiting: dead deliveries no longer hold their call': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first, second, third] = await queue.record(3)
    await queue.attempt(first!, REJECTED)
    const before = await queue.state(second!)
    await queue.apply('release')
    const isOrdered = (await queue.state(third!)) === 'waiting'
    return isOrdered ? became('waiting', [before], [await queue.state(second!)]) : 'the call has lost its order'
  },

  'claimed: the lane gives it back': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    const { dueAt } = await queue.show(id!)
    queue.now += 5_000
    await queue.release(await queue.claimOne(id!))
    const isDue = (await queue.show(id!)).dueAt === dueAt && (await queue.budget(id!)) === 'with a fresh budget'
    return `${await queue.state(id!)}, ${isDue ? 'due as before' : await queue.due(id!)}`
  },

  'claimed: cancel': async (setting) => {
    const queue = await Queue.create(setting)
    const lane = await QueueLane.start(setting.t, queue, 1)
    const [underWay, ...claimed] = await lane.claimAhead(2)
    await queue.cancel(...claimed)
    return endedUnsent(queue, lane, underWay, claimed)
  },

  'claimed: erase': async (setting) => {
    const queue = await Queue.create(setting)
    const lane = await QueueLane.start(setting.t, queue, 1)
    const [underWay, ...claimed] = await lane.claimAhead(2)
    await queue.maintenance.erase(queue.callId, true, queue.now)
    return endedUnsent(queue, lane, underWay, claimed)
  },

  'claimed: the relay stops or crashes': async (setting) => {
    const queue = await Queue.create(setting)
    const lane = await QueueLane.start(setting.t, queue, 1)
    const [, ...claimed] = await lane.claimAhead(2)
    await lane.stop()
    const stopped = await queue.states(...claimed)
    const other = await QueueLane.start(setting.t, queue, 1)
    await other.attempt(0)
    const restarted = await Queue.create({ ...setting, ...(await setting.crash()) })
    return [...new Set([...stopped, ...(await restarted.states(...claimed))])].join(' and ')
  },

  'claimed: the target is paused': async (setting) => {
    const queue = await Queue.create(setting)
    const lane = await QueueLane.start(setting.t, queue, 1)
    const [, ...claimed] = await lane.claimAhead(2)
    await queue.operator.setPaused(queue.target, true, queue.now)
    await lane.noticeChange()
    lane.sent[1]!.end({ kind: 'delivered' })
    await lane.idle()
    const states = new Set(await queue.states(...claimed))
    const isUnsent = lane.sent.length === 2
    await queue.operator.setPaused(queue.target, false, queue.now)
    await lane.noticeChange()
    const resumed = await lane.attempt(2)
    const isKept = isUnsent && claimed.includes(resumed.delivery.deliveryId)
    return `${[...states]}, and ${isKept ? 'not sent' : 'sent'} before the target is resumed`
  },

  'under way: the target accepts it': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, DELIVERED)
    return queue.state(id!)
  },

  'under way: the target fails, with budget left': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, FAILED)
    return `${await queue.state(id!)}, ${await queue.due(id!)}`
  },

  'under way: the target fails, without budget left': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, FAILED)
    queue.now += 1_000
    await queue.attempt(id!, FAILED)
    return queue.state(id!)
  },

  'under way: the target rejects it': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, REJECTED)
    return queue.state(id!)
  },

  'under way: the target rejects it while its circuit is open': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.end(await queue.claimOne(id!), REJECTED, { isCircuitOpen: true })
    return `${await queue.state(id!)}, ${await queue.due(id!)}`
  },

  'under way: the target throttles it': async (setting) => {
    const queue = await Queue.create(setting)
    const lane = await QueueLane.start(setting.t, queue, 1)
    const [id] = await queue.record(1)
    await lane.noticeChange()
    const { end } = await lane.attempt(0)
    end({ kind: 'failed', error: 'http 429', throttled: true, retryAfterMs: THROTTLE_MS })
    await lane.idle()
    const endedAt = queue.now
    await lane.noticeChange()
    queue.now = endedAt + THROTTLE_MS - 1
    const isEarly = (await queue.claim()).length > 0 || lane.sent.length > 1
    queue.now = endedAt + THROTTLE_MS
    const isDue = (await queue.show(id!)).dueAt === queue.now && !isEarly

    const claimed = await queue.claimOne(id!)
    const { roundAttempts } = claimed
    await queue.release(claimed)
    const isRecorded = (await queue.recorded(id!)).join() === 'failed'
    const budget = isRecorded && roundAttempts === 0 ? 'unchanged' : `${roundAttempts} attempts`
    return `${await queue.state(id!)} ${isDue ? 'once the throttle has ended' : 'too early'}; its budget is ${budget}`
  },

  'under way: retry, and the target then accepts it': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.attempt(id!, FAILED)
    queue.now += 1_000
    const underWay = await queue.claimOne(id!)
    await queue.retry(id!)
    await queue.end(underWay, DELIVERED)
    const { attempts } = await queue.show(id!)
    const isRecorded = attempts === 2 && (await queue.recorded(id!)).join() === 'failed,delivered'
    return `${await queue.state(id!)}; ${isRecorded ? 'one attempt more on record' : 'the attempt is not on record'}`
  },

  'under way: retry, and the target then fails or rejects it': async (setting) => {
    const results = new Set<string>()
    for (const outcome of [FAILED, REJECTED]) {
      const queue = await Queue.create(setting)
      const [id] = await queue.record(1)
      await queue.attempt(id!, FAILED)
      queue.now += 1_000
      // Its last attempt.
      const underWay = await queue.claimOne(id!)
      queue.now += 500
      await queue.retry(id!)
      const retriedAt = queue.now
      await queue.end(underWay, outcome)
      const dueAt = (await queue.show(id!)).dueAt
      const due = dueAt !== null && dueAt >= retriedAt && dueAt <= queue.now ? 'due now' : await queue.due(id!)
      const state = `${await queue.state(id!)}: ${due}, ${await queue.budget(id!)}`
      results.add(`${state}; ${isLast(await queue.recorded(id!), 2, outcome.kind)}`)
      await queue.cancel(id!)
    }
    return [...results].join(' or ')
  },

  'under way: cancel, and the target then accepts it': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    const underWay = await queue.claimOne(id!)
    await queue.cancel(id!)
    await queue.end(underWay, DELIVERED)
    const recorded = isLast(await queue.recorded(id!), 1, 'delivered')
    return `${await queue.state(id!)}; ${recorded}${(await queue.show(id!)).attempts === 1 ? ' as delivered' : ''}`
  },

  'under way: cancel, and the target then fails or rejects it': async (setting) => {
    const results = new Set<string>()
    for (const outcome of [FAILED, REJECTED]) {
      const queue = await Queue.create(setting)
      const [id] = await queue.record(1)
      const underWay = await queue.claimOne(id!)
      await queue.cancel(id!)
      await queue.end(underWay, outcome)
      results.add(`${await queue.state(id!)}; ${isLast(await queue.recorded(id!), 1, outcome.kind)}`)
    }
    return [...results].join(' or ')
  },

  'under way: cancel, in an ordered target': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [first, second] = await queue.record(2)
    const underWay = await queue.claimOne(first!)
    await queue.cancel(first!)
    return `the next delivery of its call ${await claimedOnlyAfter(queue, second!, () => queue.end(underWay, DELIVERED))}`
  },

  'under way: cancel and then retry': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    const underWay = await queue.claimOne(id!)
    await queue.cancel(id!)
    await queue.retry(id!)
    const due = await queue.due(id!)
    const claimed = await claimedOnlyAfter(queue, id!, () => queue.end(underWay, FAILED))
    return `${await queue.state(id!)}: ${due}, ${claimed.replace(/^is /, '')}`
  },

  'under way: erase': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    const underWay = await queue.claimOne(id!)
    await queue.maintenance.erase(queue.callId, true, queue.now)
    await queue.end(underWay, FAILED)
    const { history } = await queue.show(id!)
    const isBare = history.every(
      ({ error, response, note }) => ![error, response, note].some((text) => SAID.test(text ?? '')),
    )
    const recorded = isLast(await queue.recorded(id!), 1, 'failed')
    return `${await queue.state(id!)}; ${recorded} ${isBare ? 'without' : 'with'} the target's answer`
  },

  'under way: an older delivery of its call is retried': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [older, id, next] = await queue.record(3)
    await queue.attempt(older!, REJECTED)
    const underWay = await queue.claimOne(id!)
    await queue.retry(older!)
    const claimed = await claimedOnlyAfter(queue, older!, () => queue.end(underWay, DELIVERED))
    const comesNext = (await queue.state(older!)) === 'ready' && (await queue.state(next!)) === 'waiting'
    return `the older one ${claimed}, and comes ${comesNext ? 'next' : 'later'}`
  },

  'under way: a new event of its call arrives': async (setting) => {
    const queue = await Queue.create(setting, 'release')
    const [id] = await queue.record(1)
    const underWay = await queue.claimOne(id!)
    await queue.cancel(id!)
    const [fresh] = await queue.record(1, { lease: true })
    return `the new delivery ${await claimedOnlyAfter(queue, fresh!, () => queue.end(underWay, DELIVERED))}`
  },

  'under way: the relay crashes': async (setting) => {
    // Starts are recorded by runs that follow an unexpected end.
    let queue = await Queue.create({ ...setting, ...(await setting.crash()) })
    const [id] = await queue.record(1)
    let interrupted = 0
    let afterFirst = ''
    for (;;) {
      const lane = await QueueLane.start(setting.t, queue, 1)
      // After a crash, what was under way waits for a while.
      queue.now += 100_000
      await lane.noticeChange()
      if (lane.sent.length === 0) break
      interrupted += 1
      queue = await Queue.create({ ...setting, ...(await setting.crash()) })
      afterFirst ||= await queue.state(id!)
    }
    const count = ['no', 'one', 'two', 'three', 'four', 'five', 'six'][interrupted] ?? interrupted
    return `${afterFirst}; after ${count} interrupted starts in a row, ${await queue.state(id!)}`
  },

  'delivered: retry or replay': async (setting) => {
    const results = new Set<string>()
    for (const again of AGAIN) {
      const queue = await Queue.create(setting, 'none')
      const [first, second] = await queue.record(2)
      for (const delivery of await queue.claim()) await queue.end(delivery, DELIVERED)
      await queue.apply('release')
      await again(queue, [second!, first!])
      const states = await queue.states(first!, second!)
      await queue.attempt(first!, DELIVERED)
      await queue.attempt(second!, DELIVERED)
      await queue.apply('none')
      await again(queue, [first!, second!])
      const isOfToday = (await queue.states(first!, second!)).every((state) => state === 'ready')
      results.add(
        `${states.join(', or ')}: the call's order is ${isOfToday ? 'the one configured today' : 'of the past'}`,
      )
      for (const delivery of await queue.claim()) await queue.end(delivery, DELIVERED)
    }
    return [...results].join(' or ')
  },

  'dead: retry or replay': async (setting) => {
    const results = new Set<string>()
    for (const again of AGAIN) {
      const queue = await Queue.create(setting, 'hold')
      const [first, second, third] = await queue.record(3)
      await queue.attempt(first!, REJECTED)
      const held = await queue.state(second!)
      await again(queue, [first!])
      const states = [await queue.state(first!)]
      await queue.attempt(first!, DELIVERED)
      await queue.attempt(second!, REJECTED)
      await queue.apply('release')
      await queue.attempt(third!, FAILED)
      await again(queue, [first!, second!])
      states.push(await queue.state(second!))
      await queue.cancel(first!, second!)
      const isFree = held === 'waiting' && (await queue.state(third!)) === 'ready'
      results.add(`${states.join(', or ')}; it ${isFree ? 'no longer' : 'still'} holds its call`)
      await queue.cancel(third!)
    }
    return [...results].join(' or ')
  },

  'dead: cancel': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first, second] = await queue.record(2)
    await queue.attempt(first!, REJECTED)
    const held = await queue.state(second!)
    await queue.cancel(first!)
    const isFree = held === 'waiting' && (await queue.state(second!)) === 'ready'
    return `${await queue.state(first!)}; it ${isFree ? 'no longer' : 'still'} holds its call`
  },

  'dead: it holds its call, and a new event of the call arrives': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first] = await queue.record(1)
    await queue.attempt(first!, REJECTED)
    const [fresh] = await queue.record(1, { lease: true })
    return `the new delivery is ${await queue.state(fresh!)}`
  },

  'dead: retention, while it holds its call': async (setting) => {
    const queue = await Queue.create(setting, 'hold')
    const [first] = await queue.record(1)
    await queue.attempt(first!, REJECTED)
    queue.now += 10_000
    const policy = { deliveredMs: 0, deadMs: 0, rejectionsMs: 0, keysMs: 0, maxSizeBytes: null }
    while ((await queue.outbox.prune(policy, queue.now)).more);
    const isKept = (await queue.operator.readEvents({ callId: queue.callId }, 0, 10)).length === 1
    return isKept && (await queue.state(first!)) === 'dead' ? 'kept' : 'removed'
  },

  'cancelled: retry or replay': async (setting) => {
    const results = new Set<string>()
    for (const again of AGAIN) {
      const queue = await Queue.create(setting, 'release')
      const [first, second] = await queue.record(2)
      await queue.cancel(first!, second!)
      await again(queue, [first!, second!])
      results.add((await queue.states(first!, second!)).join(', or '))
      await queue.cancel(first!, second!)
    }
    return [...results].join(' or ')
  },

  'cancelled: cancel': async (setting) => {
    const queue = await Queue.create(setting)
    const [id] = await queue.record(1)
    await queue.cancel(id!)
    const before = JSON.stringify(await queue.show(id!))
    queue.now += 1_000
    const changed = await queue.cancel(id!)
    const isSame = changed === 0 && JSON.stringify(await queue.show(id!)) === before
    return `${await queue.state(id!)}: ${isSame ? 'nothing' : 'something'} changes`
  },
}

/** Both ways in which an operator sends deliveries again. Replaying means all of the call. */
const AGAIN: readonly ((queue: Queue, deliveryIds: readonly number[]) => Promise<unknown>)[] = [
  (queue, deliveryIds) => queue.retry(...deliveryIds),
  (queue) => queue.replay(),
]

/** How long a target asks to be sent nothing. */
const THROTTLE_MS = 5_000

/** What the target says in `FAILED`. */
const SAID = /503|\bno\b/

function became(before: string, earlier: readonly string[], later: readonly string[]): string {
  if (earlier.some((state) => state !== before)) return `${earlier.join(' and ')} before`
  return [...new Set(later)].join(' and ')
}

function isLast(recorded: readonly string[], count: number, kind: string): string {
  const isRecorded = recorded.length === count && recorded.at(-1) === kind
  return `the attempt is ${isRecorded ? '' : 'not '}on record`
}

/** Whether a delivery can be claimed only once the attempt under way has ended, in words. */
async function claimedOnlyAfter(queue: Queue, deliveryId: number, end: () => Promise<void>): Promise<string> {
  const before = await queue.isClaimable(deliveryId)
  await end()
  const after = await queue.isClaimable(deliveryId)
  if (!after) return 'is not claimed after the attempt has ended'
  return before ? 'is claimed before the attempt has ended' : 'is not claimed before the attempt has ended'
}

/** What became of claimed deliveries that were given up while another attempt was under way, in words. */
async function endedUnsent(queue: Queue, lane: QueueLane, underWay: number, claimed: number[]): Promise<string> {
  await lane.recall()
  lane.sent[1]!.end({ kind: 'delivered' })
  await lane.idle()
  const isUnsent = lane.sentIds().length === 2 && lane.sentIds()[1] === underWay
  const states = new Set(await queue.states(...claimed))
  return `${[...states]}, and ${isUnsent ? 'not sent' : 'sent'}`
}
