import type { Config } from '../config/config.ts'
import { watchedSource } from '../config/wanted-webhook.ts'
import type { Gap, ProviderReport } from '../outbox/operator.ts'
import { iso, isoOrNull } from './instants.ts'

/** For scripts: instants in ISO. */
export function providerDocument({ completedUntil, swept, problem, webhook, ...rest }: ProviderReport): object {
  return {
    ...rest,
    completedUntil: isoOrNull(completedUntil),
    swept: swept && { ...swept, at: iso(swept.at) },
    problem: problem && { ...problem, at: iso(problem.at) },
    webhook: webhook && { ...webhook, at: iso(webhook.at) },
  }
}

export function gapDocument(gap: Gap): object {
  return { ...gap, foundAt: iso(gap.foundAt) }
}

/** What is told of the source that is configured now; what was once found of others is of no use any more. */
export function reportsOf(config: Config, reports: readonly ProviderReport[]): ProviderReport[] {
  return reports.filter(({ source }) => source === watchedSource(config))
}
