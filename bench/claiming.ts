import { join } from 'node:path'
import type { Delivery } from '../src/domain/delivery.ts'
import { type Call, createBatchRunner, type Reply } from '../src/outbox/sqlite/batch.ts'
import { openOutboxFile } from '../src/outbox/sqlite/database.ts'
import { createStore } from '../src/outbox/sqlite/store.ts'

/** An outbox without its thread: what is done to it takes as long as the calls here. */
export interface OpenOutbox {
  /** Claims 32 deliveries of `crm`. */
  claim(): Delivery[]
  run(calls: readonly Call[]): Reply[]
  close(): void
}

export function openOutbox(directory: string): OpenOutbox {
  const file = openOutboxFile(join(directory, 'relay.db'))
  const run = createBatchRunner(file.database, createStore(file.database))
  const now = Date.now() + 1_000
  return {
    claim() {
      const [claimed] = run([{ method: 'claim', args: ['crm', 32, now] }])
      return (claimed as { value: { deliveries: Delivery[] } }).value.deliveries
    },
    run,
    close: () => file.close(),
  }
}
