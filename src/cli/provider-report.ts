import type { ProviderReport, UnreadableCalls } from '../outbox/operator.ts'
import { ago } from './instant.ts'
import { counted } from './printing.ts'
import { styled } from './style.ts'
import { oneLine } from './table.ts'

/** What the relay has found at the provider, a line each. */
export function providerLines(reports: readonly ProviderReport[], now: number): string[] {
  return reports.flatMap((report) => [...linesOf(report, now)])
}

function* linesOf(report: ProviderReport, now: number): Iterable<string> {
  const { source, swept, fetched, gaps, failing = [], unreadable = [], webhook } = report
  // The relay may have looked while this was being read.
  const since = (at: number) => ago(Math.min(at, now), now)
  if (swept !== null) {
    const last = `${counted(swept.calls, 'call')} looked at, ${counted(swept.recorded, 'event')} fetched`
    yield `source ${source} reconciled ${since(swept.at)}: ${last}; ${fetched} fetched in all`
  }
  for (const { at, failures, message } of failing) {
    const times = failures > 1 ? ` (${failures} times in a row)` : ''
    yield styled('red', `the last look failed ${since(at)}: ${oneLine(message)}${times}`)
  }
  for (const each of unreadable) {
    yield styled('red', `${unreadableInWords(each)}, since ${since(each.since)}`)
    yield styled('red', `  such as ${oneLine(each.callId ?? '(no id)')}: ${oneLine(each.problem)}`)
  }
  if (gaps > 0) yield styled('yellow', `${counted(gaps, 'event')} can never be had: events gaps`)
  if (webhook === null) return
  if (webhook.problems.length === 0) yield `webhook as it should be ${since(webhook.at)}`
  for (const { message } of webhook.problems) yield styled('red', oneLine(message))
}

export function unreadableInWords({ list, count }: Pick<UnreadableCalls, 'list' | 'count'>): string {
  const which = list === 'calls' ? counted(count, 'call') : `${count} deleted ${count === 1 ? 'call' : 'calls'}`
  return `${which} at Ultravox cannot be read in full`
}
