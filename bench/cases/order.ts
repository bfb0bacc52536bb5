import { join } from 'node:path'
import type { Delivery } from '../../src/domain/delivery.ts'
import { type Call, createBatchRunner } from '../../src/outbox/sqlite/batch.ts'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, median, ratioOf, type Settings } from '../measure.ts'
import { Surroundings } from '../processes.ts'

const ROWS = 1_000_000
const DRAINED = 5_000

/** Deliveries a second that are claimed and settled, without a target in between. */
function perSecond(directory: string): number {
  const file = openOutboxFile(join(directory, 'relay.db'))
  try {
    const run = createBatchRunner(file.database, createStore(file.database))
    const now = Date.now() + 1_000
    const startedAt = performance.now()
    let settled = 0
    while (settled < DRAINED) {
      const [claimed] = run([{ method: 'claim', args: ['crm', 32, now] }])
      const { deliveries } = (claimed as { value: { deliveries: Delivery[] } }).value
      run(deliveries.map(settlementOf))
      settled += deliveries.length
    }
    return settled / ((performance.now() - startedAt) / 1_000)

    function settlementOf(delivery: Delivery): Call {
      const attempt = {
        attempt: 1,
        startedAt: now,
        durationMs: 1,
        outcome: 'delivered',
        status: 204,
        error: null,
        response: null,
      } as const
      return { method: 'settle', args: [delivery, attempt, { state: 'delivered' }] }
    }
  } finally {
    file.close()
  }
}

/** What it costs to keep a call's events in order. */
export const ORDER: Case = {
  name: 'order per call, 1 M pending',
  async run({ rounds, scale }: Settings): Promise<Figure[]> {
    const around = new Surroundings()
    try {
      const [ordered, unordered] = [around.fresh(), around.fresh()]
      fillOutbox(ordered, { pending: { crm: ROWS / scale }, ordered: true })
      fillOutbox(unordered, { pending: { crm: ROWS / scale } })
      const { ours, reference } = await alternate(
        rounds,
        async () => perSecond(ordered),
        async () => perSecond(unordered),
      )
      return [
        {
          name: this.name,
          value: ratioOf(ours, reference),
          unit: 'ratio',
          floor: 0.6,
          aim: 0.8,
          absolute: `${Math.round(median(ours))}/s; unordered ${Math.round(median(reference))}/s`,
        },
      ]
    } finally {
      await around.end()
    }
  },
}
