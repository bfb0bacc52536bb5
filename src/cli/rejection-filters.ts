import { Option } from 'commander'
import type { RefusalCode } from '../domain/errors.ts'
import { RelayError } from '../domain/errors.ts'
import type { OutboxOperator, RejectionFilter } from '../outbox/operator.ts'
import { given, idParser, receivedOptions } from './filters.ts'
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

/** Throws `not_found` for ids that there are not. */
export async function refuseUnknownRejections(operator: OutboxOperator, rejectionIds: readonly number[]) {
  const there = new Set(await operator.findRejections({ rejectionIds }))
  const missing = rejectionIds.filter((id) => !there.has(id))
  if (missing.length > 0) throw new RelayError('not_found', `there is no rejection ${missing.join(', ')}`)
}
