import { Command, Option } from 'commander'
import type { RefusalCode } from '../domain/errors.ts'
import type { OutboxOperator, RejectionFilter } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, consentOptions } from './confirm.ts'
import { given, idParser, receivedOptions } from './filters.ts'
import { refuseMissing } from './missing.ts'
import { jsonOption } from './printing.ts'
import { REJECTION_REASONS } from './rejection-causes.ts'

export interface RejectionFilterOptions {
  readonly reason?: RefusalCode
  readonly source?: string
  readonly peer?: string
  readonly since?: number
  readonly until?: number
  readonly kept?: boolean
}

/** `--reason`, `--peer`, `--kept` and so on. */
export function rejectionFilterOptions(): Option[] {
  return [
    new Option('--reason <code>', 'refused for this reason').choices(REJECTION_REASONS),
    new Option('--source <name>', 'sent to this source'),
    new Option('--peer <address>', 'sent from this address'),
    ...receivedOptions(),
    new Option('--kept', 'on record with its body: validly signed, it can be admitted'),
  ]
}

/** What is asked for; a key is there only where its option was given. */
export function rejectionFilter(options: RejectionFilterOptions): RejectionFilter {
  const { reason, source, peer, since, until, kept } = options
  return given({ reason, source, peer, since, until, kept })
}

export const parseRejectionId = idParser('rejection')

export interface BulkOptions extends RejectionFilterOptions, ConsentOptions {
  readonly config?: string
  readonly json?: boolean
}

/** A command that does something to many rejections: those of these ids, or of a filter. */
export function bulkCommand(name: string): Command {
  const command = new Command(name)
    .argument('[ids...]', 'rejection ids', parseRejectionId)
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of [...rejectionFilterOptions(), ...consentOptions()]) command.addOption(option)
  return command
}

/** Throws `not_found` for ids that there are not. */
export async function refuseUnknownRejections(operator: OutboxOperator, rejectionIds: readonly number[]) {
  refuseMissing('rejection', rejectionIds, await operator.findRejections({ rejectionIds }))
}
