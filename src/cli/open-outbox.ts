import type { OutboxMaintenance } from '../outbox/maintenance.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { SqliteMaintenance } from '../outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../outbox/sqlite/sqlite-operator.ts'

/**
 * Opens the outbox of a configuration for an operator's command, and closes it when that is done. The one place in the
 * commands that knows which storage there is. Throws `outbox_unusable` where there is no outbox yet.
 */
export async function withOutbox<T>(path: string, use: (operator: OutboxOperator) => Promise<T>): Promise<T> {
  return closing(SqliteOperator.open(path) as OutboxOperator, use)
}

/** The same for its upkeep. */
export async function withMaintenance<T>(path: string, use: (outbox: OutboxMaintenance) => Promise<T>): Promise<T> {
  return closing(SqliteMaintenance.open(path) as OutboxMaintenance, use)
}

async function closing<Way extends { close(): Promise<void> }, T>(way: Way, use: (way: Way) => Promise<T>): Promise<T> {
  try {
    return await use(way)
  } finally {
    await way.close()
  }
}
