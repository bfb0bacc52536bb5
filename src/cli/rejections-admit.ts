import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import {
  type AdmissionTally,
  admissionDocument,
  admitRejections,
  meantRejections,
  type NamedEvent,
  namedEvent,
  type Refused,
  refuseUnknownRejections,
  refuseUnproven,
} from '../operations/admission.ts'
import { rejectionFilter } from '../operations/filters.ts'
import { type Forecast, forecastDocument, QueuesBefore } from '../operations/forecasts.ts'
import { assertKnownNames } from '../operations/known-target.ts'
import type { Admitted, OutboxOperator } from '../outbox/operator.ts'
import { configFile, loadWithoutSecrets } from './config-file.ts'
import { confirm } from './confirm.ts'
import { forecastText } from './forecasts.ts'
import { interruptible, tellRest } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, named, note, print } from './printing.ts'
import { withProgress } from './progress.ts'
import { type BulkOptions, bulkCommand } from './rejection-filters.ts'

/** So many are told of one by one; of more, only how many there were. */
const TOLD = 20

const NOTHING_NAMED = 'name rejections by their ids or by a filter, such as: rejections admit --since 8h'

interface AdmitOptions extends BulkOptions {
  readonly event?: string
  readonly call?: string
}

export function admitCommand(): Command {
  return bulkCommand('admit')
    .description('take kept requests in as if they had come in time: record their events and deliver them')
    .option(
      '--event <name>',
      'record a body that holds no event, such as one that is not JSON, as an event of this name',
    )
    .option('--call <id>', 'with --event: the id of the call that it belongs to')
    .addHelpText(
      'after',
      `\nOnly what was validly signed is kept and can be admitted. It goes through the routes as they are today, and is no
rejection any more. A body that holds no event stays unless --event names one: targets then get the body as it is, and those
with templates or redaction refuse it. Without ids it takes at least one filter, and means timestamp_stale where no --reason is given.
${examples('rejections admit 17', 'rejections admit --since 8h --dry-run', 'rejections admit --source ultravox --since 8h --yes', 'rejections admit 18 --event call.ended')}`,
    )
    .action(async (ids: number[] | undefined, options: AdmitOptions) => {
      const event = namedEvent(options.event, options.call)
      const { config } = loadWithoutSecrets(configFile(options.config))
      const filter = meantRejections(ids ?? [], rejectionFilter(options))
      if (filter === undefined) throw new RelayError('usage', NOTHING_NAMED)
      await withOutbox(config.outbox.path, async (operator) => {
        await assertKnownNames(operator, config, options)
        await refuseUnknownRejections(operator, ids ?? [])
        await refuseUnproven(operator, ids ?? [])
        await admit(operator, config, await operator.findRejections(filter), event, options)
      })
    })
}

async function admit(
  operator: OutboxOperator,
  config: Config,
  rejectionIds: readonly number[],
  event: NamedEvent | null,
  options: AdmitOptions,
): Promise<void> {
  const { yes, dryRun = false } = options
  const what = counted(rejectionIds.length, 'rejection')
  if (!dryRun && rejectionIds.length > 0 && !(await confirm(`${what} would be admitted`, yes))) return
  const queues = await QueuesBefore.read(operator, config, systemClock.now())
  let worked = 0
  const tally = await interruptible((signal) =>
    withProgress(rejectionIds.length, (shown) => {
      const advance = (count: number) => {
        worked += count
        shown(count)
      }
      const stepping = { clock: systemClock, warn: note, advance, signal }
      return admitRejections(operator, config, rejectionIds, { dryRun, named: event, ...stepping })
    }),
  )
  const now = systemClock.now()
  const forecasts = await (dryRun ? queues.aheadOfNew(tally.targets, now) : queues.after(tally.targets, now))
  report(tally, worked, dryRun, options.json, forecasts)
  if (worked < rejectionIds.length)
    tellRest('rejections admitted', { worked, matched: rejectionIds.length, options: [] })
}

function report(
  tally: AdmissionTally,
  matched: number,
  dryRun: boolean,
  json: boolean | undefined,
  forecasts: readonly Forecast[],
): void {
  const { admitted, refused } = tally
  const document = { ...admissionDocument(tally, matched, dryRun), expected: forecasts.map(forecastDocument) }
  const { duplicates, events } = document
  const lines = events.length > TOLD ? '' : events.map(inWords).join('')
  const outlook = forecastText(forecasts, systemClock.now())
  print(json, document, `${lines}${summary(tally, duplicates, dryRun)}\n${outlook}`)
  const gone = matched - admitted.length - refused.length
  if (gone > 0) note(`${counted(gone, 'rejection')} had gone meanwhile`)
  tellOfRefused(refused)
}

function summary({ admitted, targets }: AdmissionTally, duplicates: number, dryRun: boolean): string {
  const deliveries = [...targets.values()].reduce((sum, count) => sum + count, 0)
  const events = `${counted(admitted.length - duplicates, 'event')} ${dryRun ? 'would be recorded' : 'recorded'}`
  const again = duplicates === 0 ? '' : `; ${counted(duplicates, 'event')} on record already`
  return `${events}, ${counted(deliveries, 'delivery')}${named(targets)}${again}`
}

function inWords({ rejectionId, eventId, duplicate }: Admitted): string {
  return `rejection ${rejectionId}: event ${eventId} ${duplicate ? 'is on record already: a duplicate' : 'recorded'}\n`
}

function tellOfRefused(refused: readonly Refused[]): void {
  for (const { rejectionId, problem } of refused.slice(0, TOLD)) {
    note(`rejection ${rejectionId} cannot be admitted: ${problem}`)
  }
  if (refused.length > TOLD) note(`and ${refused.length - TOLD} more cannot (--json names them)`)
  if (refused.length === 0) return
  note('a body that holds no event is recorded as it is with --event NAME')
  process.exitCode = 1
}
