import { withWholeIds } from '../operations/id-prefixes.ts'
import { type AskedNames, assertKnownNames } from '../operations/known-target.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { type ListName, type PageOptions, printList } from './paging.ts'

/** A list of what a filter means. */
export interface Listing<Asked, Filter, Row> {
  readonly name: ListName
  /** Throws `usage`. */
  readonly filter: (asked: Asked) => Filter
  /** See `printList`. */
  readonly read: (operator: OutboxOperator, filter: Filter, limit: number, before: Row | undefined) => Promise<Row[]>
  readonly document: (row: Row) => object
  readonly table: (rows: readonly Row[]) => string
}

interface ListOptions extends AskedNames, PageOptions {
  readonly config?: string
  readonly call?: string
  readonly eventId?: string[]
}

/** Runs a command that lists: resolves the names and ids that it was given and prints the rows. */
export async function runListing<Asked, Filter, Row>(
  options: Asked & ListOptions,
  { name, filter, read, document, table }: Listing<Asked, Filter, Row>,
): Promise<void> {
  // Wrong usage is reported whether there is an outbox or not.
  filter(options)
  const config = await outboxConfig(options.config)
  await withOutbox(config.outbox.path, async (operator) => {
    await assertKnownNames(operator, config, options)
    const meant = filter(await withWholeIds(operator, options))
    await printList(options, name, (limit, before) => read(operator, meant, limit, before), document, table)
  })
}
