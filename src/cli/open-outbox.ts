import type { OutboxOperator } from '../outbox/operator.ts'
import { SqliteOperator } from '../outbox/sqlite/sqlite-operator.ts'

/**
 * Opens the outbox of a configuration for an operator's command, and closes it when that is done. The one place in the
 * commands that knows which storage there is. Throws `outbox_unusable` where there is no outbox yet.
 */
export async function withOutbox<T>(path: string, use: (operator: OutboxOperator) => Promise<T>): Promise<T> {
  const operator: OutboxOperator = SqliteOperator.open(path)
  try {
    return await use(operator)
  } finally {
    await operator.close()
  }
}
