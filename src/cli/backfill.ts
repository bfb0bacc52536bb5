import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config, UltravoxConfig } from '../config/config.ts'
import { accountOfSource } from '../config/provider-accounts.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'
import { sampledShare } from '../domain/trace-context.ts'
import { newEventId } from '../event-id.ts'
import { countEach } from '../operations/counts.ts'
import { type Forecast, forecastDocument, QueuesBefore } from '../operations/forecasts.ts'
import { configuredTarget } from '../operations/known-target.ts'
import { deliveriesTo, todaysRoutes } from '../operations/todays-routes.ts'
import type { OutboxOperator, SweepPlace } from '../outbox/operator.ts'
import { newTraceparent } from '../trace-ids.ts'
import type { EventCounts, Findings, Reconciler } from '../ultravox/reconciler.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { forecastText } from './forecasts.ts'
import { duration, iso, parseDuration, parseEnd, parseInstant, zoneOfDate } from './instant.ts'
import { Interrupted, interruptible } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, note, print, shownTable } from './printing.ts'
import { createProgress } from './progress.ts'
import { accountOption, chosenAccount, withClient } from './provider-client.ts'
import { oneLine } from './table.ts'
import { tellIfNoRelayRuns } from './waiting.ts'

interface Options {
  readonly config?: string
  readonly account?: string
  readonly json?: boolean
  readonly from: WrittenTime
  readonly to?: WrittenTime
  /** In milliseconds. */
  readonly grace?: number
  readonly events?: string[]
  readonly toTarget?: string[]
  readonly dryRun?: boolean
}

interface WrittenTime {
  readonly at: number
  /** Where a date was written: the zone in which it was read. */
  readonly zone: string | null
}

/** As in the configuration, where that says nothing of reconciling. */
const GRACE_MS = 20 * 60_000

/** Reconciliation by hand, for a period of the operator's choice. Works whether the relay runs or not. */
export function backfillCommand(): Command {
  return new Command('backfill')
    .description('fetch events that never arrived, of the calls created in a period')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(
      new Option('--from <time>', 'calls created at or after: an ISO time, a date (its start), or an age such as 3d')
        .argParser((text: string) => written(text, parseInstant))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--to <time>',
        'calls created up to: an ISO time, a date (its end), or an age (default: now)',
      ).argParser((text: string) => written(text, inclusiveEnd)),
    )
    .addOption(
      new Option(
        '--grace <duration>',
        'events younger than this are left to the webhook (default: as configured)',
      ).argParser(parseDuration),
    )
    .addOption(
      new Option(
        '--events <names>',
        'only these, such as call.ended,call.billed (default: all of the webhook)',
      ).argParser(parseEvents),
    )
    .addOption(
      new Option('--to-target <name>', 'deliver what is fetched to this target only; may be repeated').argParser(
        (name: string, earlier: string[] = []) => [...earlier, name],
      ),
    )
    .option('--dry-run', 'only report what is missing')
    .addHelpText(
      'after',
      `\nTimes and dates are in the zone of this machine unless they have an offset, such as 2026-01-15Z or 2026-01-15+02:00.

Events already on record are neither recorded nor sent again, so a backfill can be repeated. With --to-target only events
that are fetched now go to the target; events replay --to sends it those on record. An interrupted backfill prints the
command that continues it.

THERE + MISSING + TOO RECENT + NOT HAPPENED are all calls listed, deleted ones included; where Ultravox's answer cannot be
read, they are UNCLEAR. RECORDED and LOST are parts of MISSING: events of deleted calls are lost. Pass --grace 0s to fetch
those that are too recent.
${examples(
  'backfill --from 3d --dry-run',
  'backfill --from 2026-01-15 --to 2026-01-15',
  'backfill --from 2026-01-15T08:00Z --to 2026-01-15T12:00Z --events call.ended',
  'events replay --to new-crm --since 7d --dry-run',
)}`,
    )
    .action(async (options: Options) => {
      const { config } = loadTold(configFile(options.config))
      if (config.ultravox.length === 0) {
        const advice = 'add ultravox: { apiKey: "${ULTRAVOX_API_KEY}", reconcile: { source: NAME } }'
        throw new RelayError('config_invalid', `the configuration says nothing of Ultravox's API: ${advice}`)
      }
      const ultravox = chosenAccount(config, options.account)
      for (const target of options.toTarget ?? []) configuredTarget(config, target)
      assertPeriod(options, systemClock.now())
      tellOfForgotten(config, options)
      await withOutbox(config.outbox.path, (operator) => backfill(operator, config, ultravox, options))
    })
}

function written(text: string, parse: (text: string, now: number) => number): WrittenTime {
  return { at: parse(text, systemClock.now()), zone: zoneOfDate(text) }
}

/** Calls are listed up to and including the last millisecond. */
function inclusiveEnd(text: string, now: number): number {
  return parseEnd(text, now) - (zoneOfDate(text) === null ? 0 : 1)
}

function assertPeriod({ from, to }: Options, now: number): void {
  if (from.at > now) {
    const hint = 'check the year and the offset, or write an age such as --from 3d'
    throw new RelayError('usage', `--from ${iso(from.at)} is in the future (it is ${iso(now)}): ${hint}`)
  }
  if (to !== undefined && to.at < from.at) {
    throw new RelayError('usage', `--to ${iso(to.at)} is before --from ${iso(from.at)}`)
  }
}

function tellOfForgotten({ outbox: { retention } }: Config, { from, dryRun }: Options): void {
  const known = systemClock.now() - retention.keysMs
  if (from.at >= known || dryRun === true) return
  note(
    `events received before ${iso(known)} are no longer known (outbox.retention.keys): they are recorded and delivered again`,
  )
}

async function backfill(
  operator: OutboxOperator,
  config: Config,
  ultravox: UltravoxConfig,
  options: Options,
): Promise<void> {
  const { noFindings, Reconciler } = await import('../ultravox/reconciler.ts')
  const { webhook, reconcile } = ultravox
  const source = sourceOf(config, ultravox)
  const events = options.events ?? webhook?.events ?? LIFECYCLE_EVENTS
  const added = new Map<string, number>()
  const take = options.dryRun === true ? null : await recorder(operator, config, source, options, added)
  const queues = await QueuesBefore.read(operator, config, systemClock.now())
  const findings = noFindings()
  const graceMs = options.grace ?? reconcile?.graceMs ?? GRACE_MS
  const start = startOf(source, events, options)
  try {
    await withClient(ultravox, async (client) => {
      const reconciler = new Reconciler({
        client,
        store: operator,
        memory: null,
        source,
        account: accountOfSource(config, source),
        events,
        agentId: webhook?.agentId ?? null,
        graceMs,
        take,
        clock: systemClock,
      })
      await interruptible((signal) => sweep(operator, reconciler, start, findings, options, signal))
    })
  } catch (error) {
    note(`cut off after ${counted(findings.calls, 'call')}. To continue: ${sameCommand(options, start)}`)
    if (!(error instanceof Interrupted)) throw error
    process.exitCode = 1
    return
  }
  report(findings, start, options, await forecasts(queues, findings, added, options))
  if (added.size > 0) await tellIfNoRelayRuns(operator)
  await tellWhatIsLeft(findings, start, graceMs, options)
}

/** The source that the events are for. */
function sourceOf({ sources }: Config, { reconcile, webhook }: UltravoxConfig): string {
  const named = reconcile?.source ?? webhook?.source
  if (named !== undefined) return named
  const [only, ...more] = Object.keys(sources)
  if (only !== undefined && more.length === 0) return only
  throw new RelayError('config_invalid', 'which source are the events for? Add ultravox.webhook, with its source')
}

/** `added`: counts up the deliveries recorded, by their targets. */
async function recorder(
  operator: OutboxOperator,
  config: Config,
  source: string,
  { toTarget }: Options,
  added: Map<string, number>,
) {
  const { fetchedEvent } = await import('../ultravox/fetched-event.ts')
  const route = todaysRoutes(config, note)
  return async (body: Buffer): Promise<boolean> => {
    const { event: fetched, payload } = fetchedEvent(
      source,
      accountOfSource(config, source),
      body,
      newEventId(),
      systemClock.now(),
    )
    const event = { ...fetched, traceparent: newTraceparent(sampledShare(config.tracing)) }
    const targets = toTarget ?? (await route(payload, source, `${event.event} of call ${event.callId}`))
    const recorded = await operator.record(event, deliveriesTo(config, targets))
    countEach(recorded.targets, added)
    return !recorded.duplicate
  }
}

interface Start {
  /** Under which its progress is kept. */
  readonly name: string
  readonly from: number
  readonly to: number
}

function startOf(source: string, events: readonly string[], { from, to: until, toTarget }: Options): Start {
  const to = until?.at ?? systemClock.now()
  const what = [source, iso(from.at), iso(to), events.join(','), ...(toTarget ?? [])]
  return { name: `backfill ${what.join(' ')}`, from: from.at, to }
}

/** The command that goes on, whenever it is given. */
function sameCommand({ config, account, events, grace, toTarget, dryRun }: Options, { from, to }: Start): string {
  return [
    'backfill',
    ...(config === undefined ? [] : ['--config', config]),
    ...(account === undefined ? [] : ['--account', account]),
    `--from ${iso(from)} --to ${iso(to)}`,
    ...(events === undefined ? [] : ['--events', events.join(',')]),
    ...(grace === undefined ? [] : [`--grace ${grace / 1_000}s`]),
    ...(toTarget ?? []).map((name) => `--to-target ${name}`),
    ...(dryRun === true ? ['--dry-run'] : []),
  ].join(' ')
}

/** All calls, then the deleted ones; where one of these has come to is on record, unless nothing else is. */
async function sweep(
  operator: OutboxOperator,
  reconciler: Reconciler,
  { name, from, to }: Start,
  findings: Findings,
  { dryRun }: Options,
  signal: AbortSignal,
): Promise<void> {
  const fresh: SweepPlace = { from, to, page: null }
  const save = async (of: string, current: SweepPlace | null) => {
    if (dryRun !== true) await operator.saveSweep(of, { completedUntil: null, current }, systemClock.now())
  }
  const [calls, deleted] = [name, `deleted ${name}`]
  const kept = { calls: (await operator.sweep(calls))?.current, deleted: (await operator.sweep(deleted))?.current }
  if (kept.calls != null || kept.deleted != null) note('continuing where it was cut off; the counts are of the rest')
  const progress = shownProgress(findings)
  try {
    if (kept.deleted == null) {
      await reconciler.lookThroughCalls(
        kept.calls ?? fresh,
        findings,
        async (place, total) => {
          progress.show(total)
          await save(calls, place)
        },
        signal,
      )
      await save(deleted, fresh)
      await save(calls, null)
    }
    await reconciler.lookThroughDeleted(kept.deleted ?? fresh, findings, (place) => save(deleted, place), signal)
    await save(deleted, null)
  } finally {
    progress.end()
  }
}

function shownProgress(findings: Findings) {
  let progress: ReturnType<typeof createProgress> | undefined
  let shown = 0
  return {
    show(total: number | null) {
      if (total !== null) progress ??= createProgress(total)
      progress?.advance(findings.calls - shown)
      shown = findings.calls
    },
    end: () => progress?.end(),
  }
}

/** Of a dry run only where the targets are named: which ones the routes name depends on what has not been fetched. */
function forecasts(
  queues: QueuesBefore,
  { counts }: Findings,
  added: ReadonlyMap<string, number>,
  { dryRun, toTarget = [] }: Options,
): Promise<Forecast[]> {
  const now = systemClock.now()
  if (dryRun !== true) return queues.after(added, now)
  const missing = [...counts.values()].reduce((sum, each) => sum + recordedOf(each, true), 0)
  return queues.aheadOfNew(new Map(toTarget.map((target) => [target, missing])), now)
}

function report(findings: Findings, { from, to }: Start, options: Options, expected: readonly Forecast[]): void {
  const { calls, deleted, counts, unreadable } = findings
  const { json, dryRun = false } = options
  const rows = [...counts].sort(([a], [b]) => placeInLife(a) - placeInLife(b))
  const document = {
    from: iso(from),
    to: iso(to),
    dryRun,
    calls,
    deletedCalls: deleted,
    events: Object.fromEntries(rows),
    unreadable: unreadable.count,
    expected: expected.map(forecastDocument),
  }
  const isUnclear = rows.some(([, each]) => each.unreadable > 0)
  const recorded = dryRun ? 'TO RECORD' : 'RECORDED'
  const table = shownTable(
    ['EVENT', 'THERE', 'MISSING', recorded, 'LOST', 'TOO RECENT', 'NOT HAPPENED', ...(isUnclear ? ['UNCLEAR'] : [])],
    rows.map(([event, each]) => [
      event,
      each.there,
      each.missing,
      recordedOf(each, dryRun),
      each.unrecoverable,
      each.tooRecent,
      each.notHappened,
      ...(isUnclear ? [each.unreadable] : []),
    ]),
  )
  const head = `${counted(calls, 'call')} created from ${iso(from)} to ${iso(to)}\n`
  const about = [
    ...(deleted === 0 ? [] : [`${deleted} deleted ${deleted === 1 ? 'call' : 'calls'} of that period`]),
    `times are in UTC${zonesOf(options)}`,
  ]
  const outlook = forecastText(expected, systemClock.now())
  const results = rows.length === 0 ? '' : `\n${table}`
  print(json, document, `${head}${about.join('; ')}\n${results}${outlook === '' ? '' : `\n${outlook}`}`)
  if (unreadable.count === 0) return
  const example = unreadable.callId === null ? '' : `, such as ${oneLine(unreadable.callId)}`
  note(`${counted(unreadable.count, 'call')} could not be read in full${example}: ${unreadable.first}`)
  // A billing status that is not known yet counts as billed, and loses nothing.
  if (isUnclear || unreadable.dropped > 0) process.exitCode = 1
}

function zonesOf({ from, to }: Options): string {
  const zones = [...new Set([from.zone, to?.zone ?? null])].filter((zone) => zone !== null)
  return zones.length === 0 ? '' : `, dates are whole days in ${zones.join(' and ')}`
}

/** What is neither on record nor recorded now, and what is on record and was not sent, with what to do. */
async function tellWhatIsLeft(
  findings: Findings,
  { from }: Start,
  graceMs: number,
  { toTarget, dryRun }: Options,
): Promise<void> {
  const { totalOf } = await import('../ultravox/reconciler.ts')
  const recent = totalOf(findings, 'tooRecent')
  if (recent > 0) {
    note(
      `${counted(recent, 'event')} younger than ${duration(graceMs)} may still arrive: repeat it later, or pass --grace 0s`,
    )
  }
  const there = totalOf(findings, 'there')
  if (toTarget === undefined || there === 0 || dryRun === true) return
  const commands = toTarget.map((target) => `events replay --to ${target} --since ${iso(from)}`)
  note(`${counted(there, 'event')} already on record, not sent. To send what is on record: ${commands.join('; ')}`)
}

function recordedOf({ missing, recorded, unrecoverable }: EventCounts, dryRun: boolean): number {
  return dryRun ? missing - unrecoverable : recorded
}

function placeInLife(event: string): number {
  return (LIFECYCLE_EVENTS as readonly string[]).indexOf(event)
}

function parseEvents(text: string): string[] {
  return text.split(',').map((name) => {
    const event = LIFECYCLE_EVENTS.find((each) => each === name.trim())
    if (event === undefined) throw new InvalidArgumentError(`write some of ${LIFECYCLE_EVENTS.join(', ')}`)
    return event
  })
}
