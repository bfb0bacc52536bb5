import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { Admission, Admitted, OutboxOperator, RejectionFilter } from '../outbox/operator.ts'
import { admissionOf, type Refused } from './admission.ts'
import { configFile, loadWithoutSecrets } from './config-file.ts'
import { confirm } from './confirm.ts'
import { isEmpty } from './filters.ts'
import { withOutbox } from './open-outbox.ts'
import { countEach, counted, examples, named, note, print } from './printing.ts'
import { inSteps } from './progress.ts'
import { type BulkOptions, bulkCommand, refuseUnknownRejections, rejectionFilter } from './rejection-filters.ts'
import { todaysRoutes } from './todays-routes.ts'

/** So many are read with their bodies, routed and recorded at once, in one transaction. */
const STEP = 50

/** So many are told of one by one; of more, only how many there were. */
const TOLD = 20

/** What has become of the rejections so far. */
interface Tally {
  readonly admitted: Admitted[]
  /** Their bodies hold no event. */
  readonly refused: Refused[]
  /** New deliveries by their target. */
  readonly targets: Map<string, number>
}

export function admitCommand(): Command {
  return bulkCommand('admit')
    .description('take kept requests in as if they had come in time: record their events and deliver them')
    .addHelpText(
      'after',
      `\nOnly what was validly signed is kept and can be admitted. It goes through the routes as they are today, and is no
rejection any more. Without ids it takes at least one filter, and means timestamp_stale where no --reason is given.
${examples('rejections admit 17', 'rejections admit --since 8h --dry-run', 'rejections admit --source ultravox --since 8h --yes')}`,
    )
    .action(async (ids: number[] | undefined, options: BulkOptions) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      const filter = meant(ids ?? [], rejectionFilter(options))
      await withOutbox(config.outbox.path, async (operator) => {
        await refuseUnknownRejections(operator, ids ?? [])
        await refuseUnproven(operator, ids ?? [])
        await admit(operator, config, await operator.findRejections(filter), options)
      })
    })
}

function meant(ids: readonly number[], filter: RejectionFilter): RejectionFilter {
  if (ids.length > 0) return { ...filter, rejectionIds: ids, kept: true }
  if (!isEmpty(filter)) return { reason: 'timestamp_stale', ...filter, kept: true }
  throw new RelayError('usage', 'name rejections by their ids or by a filter, such as: rejections admit --since 8h')
}

async function refuseUnproven(operator: OutboxOperator, rejectionIds: readonly number[]): Promise<void> {
  const [unproven] = await operator.listRejections({ rejectionIds, kept: false }, 1)
  if (unproven === undefined) return
  const { rejectionId, reason } = unproven
  throw new RelayError(reason, `rejection ${rejectionId} (${reason}) cannot be admitted: nothing proves who sent it`)
}

async function admit(
  operator: OutboxOperator,
  config: Config,
  rejectionIds: readonly number[],
  options: BulkOptions,
): Promise<void> {
  const { yes, dryRun } = options
  const what = counted(rejectionIds.length, 'rejection')
  if (dryRun !== true && rejectionIds.length > 0 && !(await confirm(`${what} would be admitted`, yes))) return
  const route = todaysRoutes(config)
  const tally: Tally = { admitted: [], refused: [], targets: new Map() }
  await inSteps(rejectionIds, STEP, async (step) => {
    const admissions: Admission[] = []
    for (const rejection of await operator.readRejections(step)) {
      const read = await admissionOf(rejection, config, route)
      if ('problem' in read) tally.refused.push(read)
      else admissions.push(read)
    }
    const admitted = dryRun === true ? admissions.map(asIfNew) : await operator.admit(admissions, systemClock.now())
    count(tally, admissions, admitted)
  })
  report(tally, rejectionIds.length, options)
}

function asIfNew({ rejectionId, event: { eventId } }: Admission): Admitted {
  return { rejectionId, eventId, duplicate: false }
}

function count(
  { admitted: all, targets }: Tally,
  admissions: readonly Admission[],
  admitted: readonly Admitted[],
): void {
  all.push(...admitted)
  const recorded = new Set(admitted.filter(({ duplicate }) => !duplicate).map(({ rejectionId }) => rejectionId))
  const deliveries = admissions
    .filter(({ rejectionId }) => recorded.has(rejectionId))
    .flatMap((each) => each.deliveries)
  countEach(
    deliveries.map(({ target }) => target),
    targets,
  )
}

function report(tally: Tally, matched: number, { dryRun, json }: BulkOptions): void {
  const { admitted, refused, targets } = tally
  const duplicates = admitted.filter(({ duplicate }) => duplicate).length
  const counts = dryRun === true ? { dryRun, admitted: 0 } : { dryRun: false, admitted: admitted.length - duplicates }
  const events = dryRun === true ? [] : admitted
  const document = { matched, ...counts, duplicates, targets: Object.fromEntries(targets), events, refused }
  const lines = events.length > TOLD ? '' : events.map(inWords).join('')
  print(json, document, `${lines}${summary(tally, duplicates, dryRun)}\n`)
  const gone = matched - admitted.length - refused.length
  if (gone > 0) note(`${counted(gone, 'rejection')} had gone meanwhile`)
  tellOfRefused(refused)
}

function summary({ admitted, targets }: Tally, duplicates: number, dryRun: boolean | undefined): string {
  const deliveries = [...targets.values()].reduce((sum, count) => sum + count, 0)
  const events = `${counted(admitted.length - duplicates, 'event')} ${dryRun === true ? 'would be recorded' : 'recorded'}`
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
  if (refused.length > 0) process.exitCode = 1
}
