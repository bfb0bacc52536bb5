import type Database from 'better-sqlite3'
import { TargetCapacity } from '../../src/delivery/capacity.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { altered } from './altered.ts'
import type { Plan, PlannedTarget } from './plan.ts'
import type { Sabotage } from './simulation.ts'

/** What has to be said, and the fault. */
export type Faults = Readonly<Record<string, readonly [Sabotage, RegExp]>>

const CALM = {
  events: 30,
  calls: 4,
  troubledMs: 60_000,
  crash: 0,
  outboxFault: 0,
  lostConnection: 0,
  stops: false,
  reloads: false,
  changes: false,
  outages: false,
  operator: false,
  pauses: false,
  prunes: false,
  clockJump: 0,
} as const satisfies Partial<Plan>

const WELL = {
  name: 'target-1',
  concurrency: 3,
  ordered: false,
  holdOnDead: false,
  policy: { initialDelayMs: 20, factor: 1, maxDelayMs: 50, jitter: 0, giveUpAfterMs: null, maxAttempts: null },
  breaker: { failures: 1_000, cooldownMs: 500, maxCooldownMs: 2_000 },
  rateLimit: null,
  fails: 0,
  refuses: 0,
  deceives: 0,
  slowest: 50,
  poison: 0,
  hangs: 0,
  kills: 0,
  hangMs: 30_000,
  paused: false,
} as const satisfies PlannedTarget

/** Half a second between two attempts. */
const SLOW = { ...WELL.policy, initialDelayMs: 500, maxDelayMs: 500 }

/** Only one target, and only these troubles. */
function plan(target: Partial<PlannedTarget>, troubles: Partial<Plan>): (plan: Plan) => Plan {
  return (seed) => ({ ...seed, ...CALM, ...troubles, targets: [{ ...WELL, ...target }] })
}

/** Has the tables do something else than the relay says. */
function trigger(when: string, statements: string): (database: Database.Database) => void {
  return (database) => void database.exec(`create trigger sabotage ${when} begin ${statements}; end`)
}

/** A lane with a capacity of its own, which does not know of attempts of other lanes. */
const alone: Sabotage['lane'] = (options) => ({
  ...options,
  capacity: new TargetCapacity(options.target.name, options.clock.now),
})

/** Each row of the queue's semantics without what keeps it: each a fault that was found once. */
export const queueFaults: Faults = {
  'probes that are known to fail': [
    {
      plan: plan({ poison: 0.4, policy: SLOW, breaker: { ...WELL.breaker, failures: 3 } }, { troubledMs: 30_000 }),
      outbox: (outbox) =>
        altered(outbox, {
          claim: (target, limit, now, options) => outbox.claim(target, limit, now, { ...options, probe: false }),
        }),
    },
    /waits for others that fail/,
  ],
  'a circuit that one delivery opens by itself': [
    {
      plan: plan({ poison: 0.2, policy: SLOW, breaker: { ...WELL.breaker, failures: 3 } }, { troubledMs: 30_000 }),
      outbox: (outbox) =>
        altered(outbox, {
          async claim(...args) {
            const { deliveries, ...claim } = await outbox.claim(...args)
            return { ...claim, deliveries: deliveries.map((delivery) => ({ ...delivery, roundAttempts: 0 })) }
          },
        }),
    },
    /has opened after \d+ different deliveries/,
  ],
  'a recall that leaves claimed deliveries where they are': [
    {
      plan: plan({ concurrency: 1, slowest: 2, hangs: 0.2 }, { operator: true, bustle: 8 }),
      lanes: (lanes) => {
        lanes.recall = async () => lanes.lane('target-1')?.attemptsUnderWay() ?? []
      },
    },
    /is sent although its cancellation was confirmed/,
  ],
  'an attempt under way that a recall does not report': [
    {
      plan: plan({ slowest: 20_000 }, { operator: true, bustle: 4 }),
      outbox: (outbox) => altered(outbox, { answerRecall: (recall) => outbox.answerRecall(recall, []) }),
      lanes: (lanes) => {
        const recall = lanes.recall.bind(lanes)
        lanes.recall = async () => recall().then(() => [])
      },
    },
    /is under way, and not reported/,
  ],
  'an attempt at a cancelled delivery that is not recorded': [
    {
      plan: plan({ slowest: 20_000 }, { operator: true, bustle: 4 }),
      database: trigger(
        `before insert on attempts when exists (
          select 1 from finished_deliveries where delivery_id = new.delivery_id and state = 'cancelled')`,
        'select raise(ignore)',
      ),
    },
    /is not on record|are not counted right/,
  ],
  'a successor that does not wait for the attempt of a cancelled delivery': [
    {
      plan: plan({ ordered: true, slowest: 20_000 }, { operator: true, bustle: 4 }),
      database: trigger(
        `after insert on finished_deliveries when new.state = 'cancelled'`,
        'update live_deliveries set call_key = null, ready = 1 where target = new.target and call_key = new.call_key',
      ),
    },
    /is sent beside \d+ of its call/,
  ],
  'a retry that is lost during an attempt': [
    {
      plan: plan({ fails: 0.5, slowest: 20_000 }, { operator: true, bustle: 4 }),
      database: trigger(
        'after update of round on live_deliveries when new.round > old.round',
        'update live_deliveries set round = old.round where delivery_id = new.delivery_id',
      ),
    },
    /during its attempt is lost/,
  ],
  'a hold that outlives its setting': [
    {
      plan: plan({ ordered: true, holdOnDead: true, refuses: 0.3 }, { reloads: true, changes: true, bustle: 6 }),
      outbox: (outbox) => {
        let isApplied = false
        return altered(outbox, {
          async applyTargets(...args) {
            isApplied ||= (await outbox.applyTargets(...args)).length === 0
            return isApplied ? [] : args[0].map(({ target }) => target)
          },
        })
      },
    },
    /waits though nothing holds it/,
  ],
  'a replaced lane whose settlements wake nothing': [
    {
      plan: plan({ concurrency: 4, fails: 0.3, hangs: 0.2, slowest: 5_000 }, { reloads: true, bustle: 4 }),
      lane: (options) => {
        options.capacity.wakeSuccessor = () => {}
        return options
      },
    },
    /is due and is not sent/,
  ],
  'slots that belong to a lane': [
    { plan: plan({ slowest: 20_000 }, { reloads: true, bustle: 2 }), lane: alone },
    /more at once than/,
  ],
  'a retried delivery that waits behind a younger one': [
    {
      plan: plan({ ordered: true, refuses: 0.3, fails: 0.3 }, { operator: true, bustle: 6, calls: 1 }),
      database: trigger(
        `after update of ready on live_deliveries when new.ready = 1 and new.round > 1 and exists (
          select 1 from live_deliveries l
          where l.target = new.target and l.call_key = new.call_key and l.event_seq > new.event_seq)`,
        `update live_deliveries set ready = 0 where delivery_id = new.delivery_id;
         update live_deliveries set ready = 1 where delivery_id = (
           select l.delivery_id from live_deliveries l
           where l.target = new.target and l.call_key = new.call_key and l.event_seq > new.event_seq
           order by l.event_seq limit 1)`,
      ),
    },
    /which is older and unfinished/,
  ],
  'a replay without the order of today': [
    {
      plan: plan({ ordered: true, slowest: 5_000 }, { operator: true, bustle: 4 }),
      database: trigger(
        'after insert on live_deliveries when new.round > 1',
        'update live_deliveries set call_key = null, ready = 1 where delivery_id = new.delivery_id',
      ),
    },
    /of its call|which is older and unfinished/,
  ],
  'a pause that uses up the time of deliveries': [
    {
      plan: plan({ fails: 0.8, policy: { ...SLOW, giveUpAfterMs: 5_000 } }, { pauses: true, bustle: 2 }),
      database: trigger(
        'after update of stopped_ms on target_states when new.stopped_ms > 0',
        'update target_states set stopped_ms = 0 where target = new.target',
      ),
    },
    /is given up after/,
  ],
  'a rate limit that saves up': [
    {
      plan: plan({ concurrency: 4, rateLimit: { max: 2, perMs: 5_000 } }, { events: 60 }),
      lane: (options) => ({ ...options, capacity: new SavingCapacity(options.target.name, options.clock.now) }),
    },
    /is sent more than/,
  ],
  'a rate limit that a reload forgets': [
    {
      plan: plan({ concurrency: 4, rateLimit: { max: 2, perMs: 5_000 } }, { events: 60, reloads: true, bustle: 6 }),
      lane: alone,
    },
    /is sent more than/,
  ],
  'a probe that waits for attempts that hang': [
    {
      plan: plan({ concurrency: 4, fails: 0.5, hangs: 0.2, breaker: { ...WELL.breaker, failures: 3 } }, {}),
      outbox: (outbox) => {
        const underWay = new Set<number>()
        const over = ({ deliveryId }: Delivery) => underWay.delete(deliveryId)
        return altered(outbox, {
          async claim(target, limit, now, options) {
            if (options?.probe === true && underWay.size > 0) return { deliveries: [], nextDueAt: now + 100 }
            const claim = await outbox.claim(target, limit, now, options)
            for (const { deliveryId } of claim.deliveries) underWay.add(deliveryId)
            return claim
          },
          release: (delivery) => outbox.release(delivery).finally(() => over(delivery)),
          settle: (delivery, ...rest) => outbox.settle(delivery, ...rest).finally(() => over(delivery)),
        })
      },
    },
    /is not probed/,
  ],
  'a lowered delay that sends everything at once': [
    {
      plan: plan(
        { fails: 0.9, policy: { ...WELL.policy, initialDelayMs: 20_000, maxDelayMs: 60_000 } },
        { reloads: true, changes: true, bustle: 8 },
      ),
      outbox: (outbox, _, database) =>
        altered(outbox, {
          async applyTargets(targets, now) {
            for (const { target, maxDelayMs } of targets) {
              database
                .prepare('update live_deliveries set due_at = ? where target = ? and due_at > ?')
                .run(now, target, now + maxDelayMs)
            }
            return outbox.applyTargets(targets, now)
          },
        }),
    },
    /that were put off are due at once/,
  ],
  'a lowered delay that changes nothing': [
    {
      plan: plan(
        { fails: 0.9, policy: { ...WELL.policy, initialDelayMs: 20_000, maxDelayMs: 60_000 } },
        { reloads: true, changes: true, bustle: 8 },
      ),
      outbox: (outbox) =>
        altered(outbox, {
          applyTargets: (targets, now) =>
            outbox.applyTargets(
              targets.map((one) => ({ ...one, maxDelayMs: 60_000 })),
              now,
            ),
        }),
    },
    /is put off for longer/,
  ],
  'live deliveries that wait for a replay': [
    {
      plan: plan({ concurrency: 1, slowest: 5_000 }, { operator: true, bustle: 4 }),
      database: trigger(
        'after insert on live_deliveries when new.background = 1',
        'update live_deliveries set background = 0 where delivery_id = new.delivery_id',
      ),
    },
    /is live and waits/,
  ],
  'a delivery that takes the relay down without end': [
    {
      plan: plan({ kills: 0.2, slowest: 5_000 }, { troubledMs: 600_000 }),
      database: trigger(
        'after update of starts on live_deliveries when new.starts > 3',
        'update live_deliveries set starts = 1 where delivery_id = new.delivery_id',
      ),
    },
    /again and again/,
  ],
  'an answer that outlives the erasure of its call': [
    {
      plan: plan({ poison: 0.5, slowest: 20_000 }, { operator: true, bustle: 6 }),
      database: trigger(
        `after insert on attempts when new.outcome = 'failed' and new.response is null`,
        `update attempts set response = 'poison' where rowid = new.rowid`,
      ),
    },
    /although its call was erased/,
  ],
}

/** As a token bucket: what was not used is there later, so that twice as much goes out after a quiet while. */
class SavingCapacity extends TargetCapacity {
  readonly #now: () => number
  #tokens = 0
  #filledAt: number | undefined
  #spent = 0

  constructor(target: string, now: () => number) {
    super(target, now)
    this.#now = now
  }

  override rate(limit: Parameters<TargetCapacity['rate']>[0]): ReturnType<TargetCapacity['rate']> {
    if (limit === null) return super.rate(limit)
    const { max, perMs } = limit
    const available = () => {
      const now = this.#now()
      this.#filledAt ??= now - perMs
      this.#tokens = Math.min(max, this.#tokens - this.#spent + ((now - this.#filledAt) * max) / perMs)
      this.#filledAt = now
      this.#spent = 0
      return Math.floor(this.#tokens + 1e-9)
    }
    return {
      leave() {},
      available,
      waitMs: () => (available() > 0 ? 0 : Math.ceil(((1 - this.#tokens) * perMs) / max)),
    }
  }

  override start(...args: Parameters<TargetCapacity['start']>): ReturnType<TargetCapacity['start']> {
    this.#spent += 1
    return super.start(...args)
  }
}
