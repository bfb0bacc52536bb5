import type { Command } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { refuseUnknownRejections } from '../operations/admission.ts'
import { isEmpty, rejectionFilter } from '../operations/filters.ts'
import { assertKnownNames } from '../operations/known-target.ts'
import { inSteps } from '../operations/steps.ts'
import type { OutboxOperator, RejectionFilter } from '../outbox/operator.ts'
import { refuseDoubtfulClock } from './clock.ts'
import { confirm } from './confirm.ts'
import { interruptible, tellRest } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, note, print } from './printing.ts'
import { withProgress } from './progress.ts'
import { type BulkOptions, bulkCommand } from './rejection-filters.ts'

/** So many are deleted in a transaction. */
const STEP = 500

export function clearCommand(): Command {
  return bulkCommand('clear')
    .description('delete refused requests; kept ones, which may hold genuine events, only by id or with --kept')
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter.\n${examples(
        'rejections clear 17 18',
        'rejections clear --reason signature_missing --dry-run',
        'rejections clear --kept --until 30d --yes',
      )}`,
    )
    .action(async (ids: number[] | undefined, options: BulkOptions) => {
      const config = await outboxConfig(options.config)
      const filter = meant(ids ?? [], rejectionFilter(options))
      await withOutbox(config.outbox.path, async (operator) => {
        await assertKnownNames(operator, config, options)
        await refuseUnknownRejections(operator, ids ?? [])
        if (isByAge(filter) && options.dryRun !== true) await refuseDoubtfulClock(operator)
        if (filter.kept === false) await tellOfKept(operator, filter)
        await clear(operator, filter, options)
      })
    })
}

function meant(ids: readonly number[], filter: RejectionFilter): RejectionFilter {
  if (ids.length > 0) return { ...filter, rejectionIds: ids }
  if (!isEmpty(filter)) return { kept: false, ...filter }
  throw new RelayError('usage', 'name rejections by their ids or by a filter, such as: rejections clear --until 7d')
}

function isByAge({ since, until }: RejectionFilter): boolean {
  return since !== undefined || until !== undefined
}

async function tellOfKept(operator: OutboxOperator, filter: RejectionFilter): Promise<void> {
  const { length } = await operator.findRejections({ ...filter, kept: true })
  if (length > 0)
    note(`not among them: ${counted(length, 'rejection')} with a valid signature (admit, or clear --kept)`)
}

async function clear(operator: OutboxOperator, filter: RejectionFilter, { yes, dryRun, json }: BulkOptions) {
  const found = await operator.findRejections(filter)
  const matched = found.length
  const would = `${counted(matched, 'rejection')} would be deleted`
  if (dryRun === true) return print(json, { matched, dryRun, cleared: 0 }, `${would}\n`)
  if (matched > 0 && !(await confirm(would, yes))) return
  let cleared = 0
  const worked = await interruptible((signal) =>
    withProgress(matched, (advance) =>
      inSteps(found, STEP, { advance, signal }, async (rejectionIds) => {
        cleared += await operator.clearRejections({ ...filter, rejectionIds })
      }),
    ),
  )
  print(json, { matched, dryRun: false, cleared }, `${counted(cleared, 'rejection')} deleted\n`)
  if (worked < matched) tellRest('rejections deleted', { worked, matched, options: [] })
}
