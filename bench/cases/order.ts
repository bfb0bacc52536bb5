import type { Delivery } from '../../src/domain/delivery.ts'
import type { Call } from '../../src/outbox/sqlite/batch.ts'
import { openOutbox } from '../claiming.ts'
import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, perSecond, ratio, type Settings } from '../measure.ts'
import type { Surroundings } from '../processes.ts'

const ROWS = 1_000_000
const DRAINED = 5_000

/** Deliveries a second that are claimed and settled, without a target in between. */
function drained(directory: string): number {
  const outbox = openOutbox(directory)
  const startedAt = performance.now()
  let settled = 0
  while (settled < DRAINED) {
    const deliveries = outbox.claim()
    outbox.run(deliveries.map((delivery) => settlementOf(delivery, Date.now())))
    settled += deliveries.length
  }
  const took = performance.now() - startedAt
  outbox.close()
  return settled / (took / 1_000)
}

function settlementOf(delivery: Delivery, startedAt: number): Call {
  const outcome = { outcome: 'delivered', status: 204, error: null, response: null, note: null } as const
  const attempt = { attempt: 1, startedAt, durationMs: 1, ...outcome }
  return { method: 'settle', args: [delivery, attempt, { state: 'delivered' }] }
}

/** What it costs to keep a call's events in order. */
export const ORDER: Case = {
  name: 'order per call, 1 M pending',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const [ordered, unordered] = [around.fresh(), around.fresh()]
    // Only what is drained needs to be as large as it would be.
    const filling = { pending: { crm: ROWS / scale }, bodies: ROWS / 20 }
    fillOutbox(ordered, { ...filling, ordered: true })
    fillOutbox(unordered, filling)
    const sides = await alternate(
      rounds,
      async () => drained(ordered),
      async () => drained(unordered),
    )
    return [ratio(sides, { name: this.name, floor: 0.6, aim: 0.8, shown: perSecond, reference: 'unordered' })]
  },
}
