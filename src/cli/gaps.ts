import { Command } from 'commander'
import { gapDocument } from '../documents/provider.ts'
import type { Gap } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { limitOption, type PageOptions, printList } from './paging.ts'
import { examples, jsonOption, shownTable } from './printing.ts'
import { whole } from './table.ts'

interface Options extends PageOptions {
  readonly config?: string
}

export function gapsCommand(): Command {
  return new Command('gaps')
    .description('list events that can never be had: their calls were deleted at Ultravox before the relay saw them')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(limitOption())
    .addHelpText('after', examples('events gaps', 'events gaps --limit 1000 --json'))
    .action(async (options: Options) => {
      const config = await outboxConfig(options.config)
      await withOutbox(config.outbox.path, (operator) =>
        printList(options, 'gaps', (limit, before) => operator.listGaps(limit, undefined, before), gapDocument, listed),
      )
    })
}

function listed(gaps: readonly Gap[]): string {
  return shownTable(
    [whole('CALL'), whole('FOUND'), 'EVENT', 'SOURCE'],
    gaps.map(({ foundAt, event, callId, source }) => [callId, iso(foundAt), event, source]),
  )
}
