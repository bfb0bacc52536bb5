import type { Config } from '../config/config.ts'
import { watchedSource } from '../config/wanted-webhook.ts'
import type { ProviderReport } from '../outbox/operator.ts'
import { ago, iso, isoOrNull } from './instant.ts'
import { counted } from './printing.ts'
import { styled } from './style.ts'
import { oneLine } from './table.ts'

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

/** What is told of the source that is configured now; what was once found of others is of no use any more. */
export function reportsOf(config: Config, reports: readonly ProviderReport[]): ProviderReport[] {
  return reports.filter(({ source }) => source === watchedSource(config))
}

/** What the relay has found at the provider, a line each. */
export function providerLines(reports: readonly ProviderReport[], now: number): string[] {
  return reports.flatMap((report) => [...linesOf(report, now)])
}

function* linesOf({ source, swept, fetched, gaps, problem, webhook }: ProviderReport, now: number): Iterable<string> {
  if (swept !== null) {
    const last = `${counted(swept.calls, 'call')} looked at, ${counted(swept.recorded, 'event')} fetched`
    yield `source ${source} reconciled ${ago(swept.at, now)}: ${last}; ${fetched} fetched in all`
  }
  if (problem !== null) yield styled('red', `the last look failed ${ago(problem.at, now)}: ${oneLine(problem.message)}`)
  if (gaps > 0) yield styled('yellow', `${counted(gaps, 'event')} can never be had: events gaps`)
  if (webhook === null) return
  if (webhook.problems.length === 0) yield `webhook as it should be ${ago(webhook.at, now)}`
  for (const { message } of webhook.problems) yield styled('red', oneLine(message))
}
