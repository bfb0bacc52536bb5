import t from 'tap'
import { altered } from './altered.ts'
import { playSeeds } from './many-seeds.ts'
import { type Faults, queueFaults } from './queue-sabotages.ts'
import { simulate } from './simulation.ts'

t.test('whatever goes wrong, every promise is kept', (t) => playSeeds(t, 1, 60))

t.test('a seed plays out the same each time', async (t) => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const [first, second] = [await simulate(seed), await simulate(seed)]
    t.equal(first.digest, second.digest)
    t.ok(first.trace.length > 0)
  }
})

/** Faults as they could be made in the relay, and what has to be said of them. */
const sabotages: Faults = {
  ...queueFaults,
  'acknowledged before it is on disk': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          record: async (event, deliveries) => {
            outbox.record(event, deliveries).catch(() => {})
            return { eventId: event.eventId, duplicate: false, targets: [], leased: [] }
          },
        }),
    },
    /was acknowledged and is lost/,
  ],
  'a lease that is given back too early': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          claim: async (target, limit, now) => {
            const claim = await outbox.claim(target, limit, now)
            for (const delivery of claim.deliveries) await outbox.release(delivery)
            return claim
          },
        }),
    },
    /is in two hands/,
  ],
  'a settlement that is forgotten': [
    {
      outbox: (outbox, world) =>
        altered(outbox, {
          settle: async (delivery, ...rest) => (world.chance(0.1) ? 'settled' : outbox.settle(delivery, ...rest)),
        }),
    },
    /never comes to an end|never ended|never got/,
  ],
  'an order that is not kept': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          applyTargets: (targets, now) =>
            outbox.applyTargets(
              targets.map((one) => ({ ...one, order: 'none' })),
              now,
            ),
        }),
    },
    /overtakes/,
  ],
  'a hold that is forgotten': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          settle: (delivery, attempt, settlement) =>
            outbox.settle(delivery, attempt, settlement.state === 'dead' ? { state: 'dead' } : settlement),
        }),
    },
    /holds its call/,
  ],
  'a delivery that is tried without end': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          settle: (delivery, attempt, settlement) =>
            outbox.settle(delivery, attempt, settlement.state === 'dead' ? { state: 'pending', dueAt: 0 } : settlement),
        }),
    },
    /is tried too often/,
  ],
  'a delivery that is given up too early': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          settle: (delivery, attempt, settlement) =>
            outbox.settle(delivery, attempt, settlement.state === 'pending' ? { state: 'dead' } : settlement),
        }),
    },
    /no policy wanted it/,
  ],
  'a retry that nobody waits for': [
    {
      outbox: (outbox) =>
        altered(outbox, { claim: async (...args) => ({ ...(await outbox.claim(...args)), nextDueAt: null }) }),
    },
    /never comes to an end|never ended/,
  ],
  'a retry before its time': [
    {
      outbox: (outbox) => altered(outbox, { claim: (target, limit, now) => outbox.claim(target, limit, now + 60_000) }),
    },
    /before it is due/,
  ],
  'a body that is not the one received': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          record: (event, deliveries) => outbox.record({ ...event, body: event.body.subarray(1) }, deliveries),
        }),
    },
    /has not the bytes/,
  ],
  'a pause that is not heard of': [
    {
      outbox: (outbox) =>
        altered(outbox, {
          targetStates: async () => (await outbox.targetStates()).map((state) => ({ ...state, paused: false })),
        }),
    },
    /while it is paused/,
  ],
  'a duplicate that is taken for a new event': [
    {
      outbox: (outbox, world) =>
        altered(outbox, {
          record: (event, deliveries) => outbox.record({ ...event, source: `${world.random()}` }, deliveries),
        }),
    },
    /is on record twice/,
  ],
}

for (const [fault, [sabotage, found]] of Object.entries(sabotages)) {
  t.test(`it would find ${fault}`, async (t) => {
    for (let seed = 1; seed <= 300; seed++) {
      const { broken } = await simulate(seed, sabotage, 6_000)
      if (broken === null || !found.test(broken)) continue
      t.match(broken, found)
      return t.comment(`by seed ${seed}`)
    }
    t.fail('no seed has found it')
  })
}
