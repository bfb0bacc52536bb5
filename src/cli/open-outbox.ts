import type { OutboxMaintenance, Restoration, RestoreOptions } from '../outbox/maintenance.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { prepareRestore } from '../outbox/sqlite/restore.ts'
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

/** Prepares to put a backup in the place of the outbox at `path`. Throws as `prepareRestore` of its storage. */
export async function withRestoration<T>(
  path: string,
  from: string | null,
  options: RestoreOptions,
  use: (restoration: Restoration) => Promise<T>,
): Promise<T> {
  const restoration = prepareRestore(path, from, options)
  try {
    return await use(restoration)
  } finally {
    restoration.close()
  }
}

async function closing<Way extends { close(): Promise<void> }, T>(way: Way, use: (way: Way) => Promise<T>): Promise<T> {
  try {
    return await use(way)
  } finally {
    await way.close()
  }
}
