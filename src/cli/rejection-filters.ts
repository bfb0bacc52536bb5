import { Command, Option } from 'commander'
import { REJECTION_REASONS } from '../documents/rejection-causes.ts'
import type { AskedRejections } from '../operations/filters.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, consentOptions } from './confirm.ts'
import { idParser, receivedOptions } from './filters.ts'
import { jsonOption } from './printing.ts'

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

export const parseRejectionId = idParser('rejection')

export interface BulkOptions extends AskedRejections, ConsentOptions {
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
