import { Command } from 'commander'
import { textOf } from '../documents/bodies.ts'
import { REJECTION_CAUSES } from '../documents/rejection-causes.ts'
import { rejectionDocument } from '../documents/rejections.ts'
import { RelayError } from '../domain/errors.ts'
import { parsePayload } from '../domain/event.ts'
import { type AskedRejections, rejectionFilter } from '../operations/filters.ts'
import type { RejectionSummary, StoredRejection } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { factLines } from './facts.ts'
import { iso } from './instant.ts'
import { runListing } from './listing.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { writeBytes } from './output.ts'
import { limitOption, type PageOptions } from './paging.ts'
import { payloadOption, shownPayload } from './payload.ts'
import { examples, jsonOption, print, shownTable } from './printing.ts'
import { parseRejectionId, rejectionFilterOptions } from './rejection-filters.ts'
import { admitCommand } from './rejections-admit.ts'
import { clearCommand } from './rejections-clear.ts'
import { spare, whole } from './table.ts'

interface ShowOptions {
  readonly config?: string
  readonly json?: boolean
  readonly payload?: boolean
}

interface ListOptions extends AskedRejections, PageOptions {
  readonly config?: string
}

/** Requests that were not taken, and taking in those that should have been. Works whether the relay runs or not. */
export function rejectionsCommand(): Command {
  return new Command('rejections')
    .description('look at requests that were refused, take genuine ones in after all, or delete them')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(admitCommand())
    .addCommand(clearCommand())
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list refused requests, the newest first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of rejectionFilterOptions()) command.addOption(option)
  return command
    .addOption(limitOption())
    .addHelpText(
      'after',
      examples(
        'rejections list --since 1h',
        'rejections list --kept',
        'rejections list --reason signature_mismatch --json',
      ),
    )
    .action((options: ListOptions) =>
      runListing(options, {
        name: 'rejections',
        filter: rejectionFilter,
        read: (operator, ...page) => operator.listRejections(...page),
        document: rejectionDocument,
        table: listed,
      }),
    )
}

function showCommand(): Command {
  return new Command('show')
    .description('show one refused request: why, what usually causes that, its headers, and its body if it was kept')
    .argument('<id>', 'its id', (text) => parseRejectionId(text)[0])
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(payloadOption())
    .addHelpText('after', examples('rejections show 17', 'rejections show 17 --payload | jq .'))
    .action(async (id: number, { config: file, json, payload }: ShowOptions) => {
      const config = await outboxConfig(file)
      const [rejection] = await withOutbox(config.outbox.path, (operator) => operator.readRejections([id]))
      if (rejection === undefined) throw new RelayError('not_found', `there is no rejection ${id}`)
      if (payload === true) return printBytes(rejection)
      const { body, ...rest } = rejection
      const document = { ...rejectionDocument(rest), cause: REJECTION_CAUSES[rest.reason], body: textOf(body) }
      print(json, document, shown(rejection))
    })
}

/** Throws `not_found` where the body was not kept. */
function printBytes({ rejectionId, body }: StoredRejection): void {
  if (body === null) throw new RelayError('not_found', `the body of rejection ${rejectionId} was not kept`)
  writeBytes(body)
}

function listed(rejections: readonly RejectionSummary[]): string {
  return shownTable(
    [whole('ID'), whole('RECEIVED'), 'REASON', 'SOURCE', whole('PEER'), 'TIMES', spare('BYTES'), 'KEPT'],
    rejections.map((each) => [
      each.rejectionId,
      iso(each.receivedAt),
      each.reason,
      each.source,
      each.peer,
      each.times,
      each.bytes,
      each.kept ? { value: 'kept', style: 'yellow' } : '',
    ]),
  )
}

function shown({ rejectionId, headers, body, ...rejection }: StoredRejection): string {
  const { receivedAt, times } = rejection
  const facts = factLines([
    ['rejection', `${rejectionId}, ${rejection.reason}`],
    ['cause', REJECTION_CAUSES[rejection.reason]],
    ['source', rejection.source],
    ['request', rejection.requestId],
    ['peer', rejection.peer],
    ['received', times === 1 ? iso(receivedAt) : `${times} times, for the last time ${iso(receivedAt)}`],
    ['bytes', rejection.bytes === null ? null : String(rejection.bytes)],
    ...Object.entries(headers),
  ])
  if (body === null) return `${facts}\nits body was not kept: nothing proves who sent it\n`
  const parsed = parsePayload(body)
  const advice =
    'problem' in parsed
      ? `it holds no event: ${parsed.problem}\nto take it in as it is: ultravox-relay rejections admit ${rejectionId} --event NAME`
      : `to take it in: ultravox-relay rejections admit ${rejectionId}`
  return `${facts}\n${shownPayload(body)}\n${advice}\n`
}
