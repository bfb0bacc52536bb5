import type { Config } from '../config/config.ts'
import { watchedSource } from '../config/provider-accounts.ts'
import type { Gap, ProviderReport } from '../outbox/operator.ts'
import { iso, isoOrNull } from './instants.ts'

/** For scripts: instants in ISO. */
export function providerDocument({
  completedUntil,
  swept,
  problem,
  unreadable,
  failing = [],
  webhook,
  ...rest
}: ProviderReport): object {
  return {
    ...rest,
    completedUntil: isoOrNull(completedUntil),
    swept: swept && { ...swept, at: iso(swept.at) },
    problem: problem && { ...problem, at: iso(problem.at) },
    unreadable: (unreadable ?? []).map(({ since, ...each }) => ({ ...each, since: iso(since) })),
    failing: failing.map((part) => ({ ...part, since: iso(part.since), at: iso(part.at) })),
    webhook: webhook && { ...webhook, at: iso(webhook.at) },
  }
}

export function gapDocument(gap: Gap): object {
  return { ...gap, foundAt: iso(gap.foundAt) }
}

/** The reports on the sources that are monitored now. */
export function reportsOf({ ultravox }: Config, reports: readonly ProviderReport[]): ProviderReport[] {
  const watched = ultravox.map(watchedSource)
  return reports.filter(({ source }) => watched.includes(source))
}
