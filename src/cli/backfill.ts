import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config, UltravoxConfig } from '../config/config.ts'
import { accountOfSource } from '../config/provider-accounts.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'
import { sampledShare } from '../domain/trace-context.ts'
import { newEventId } from '../event-id.ts'
import { configuredTarget } from '../operations/known-target.ts'
import { deliveriesTo, todaysRoutes } from '../operations/todays-routes.ts'
import type { OutboxOperator, SweepPlace } from '../outbox/operator.ts'
import { newTraceparent } from '../trace-ids.ts'
import type { EventCounts, Findings, Reconciler } from '../ultravox/reconciler.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { iso, parseInstant } from './instant.ts'
import { Interrupted, interruptible } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, note, print, shownTable } from './printing.ts'
import { createProgress } from './progress.ts'
import { accountOption, chosenAccount, withClient } from './provider-client.ts'

interface Options {
  readonly config?: string
  readonly account?: string
  readonly json?: boolean
  readonly from: number
  readonly to?: number
  readonly events?: string[]
  readonly toTarget?: string[]
  readonly dryRun?: boolean
}

/** As in the configuration, where that says nothing of reconciling. */
const GRACE_MS = 20 * 60_000

/** Reconciliation by hand, for a time of the operator's choice. Works whether the relay runs or not. */
export function backfillCommand(): Command {
  const instant = (text: string) => parseInstant(text, systemClock.now())
  return new Command('backfill')
    .description('fetch events that never came, of the calls that were created in a time')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(accountOption())
    .addOption(
      new Option('--from <time>', 'calls created at or after: an ISO time (UTC) or an age such as 3d')
        .argParser(instant)
        .makeOptionMandatory(),
    )
    .addOption(new Option('--to <time>', 'calls created until then (default: now)').argParser(instant))
    .addOption(
      new Option(
        '--events <names>',
        'only these, such as call.ended,call.billed (default: all of the webhook)',
      ).argParser(parseEvents),
    )
    .addOption(
      new Option('--to-target <name>', 'to this target only, whatever the routes say; may be repeated').argParser(
        (name: string, earlier: string[] = []) => [...earlier, name],
      ),
    )
    .option('--dry-run', 'only say what is missing')
    .addHelpText(
      'after',
      `\nAn event that is on record already is left alone, so it can be run again at any time; one that was cut off goes on
where it was: it says with which words. What is recorded is delivered as if it had just come in.
${examples(
  'backfill --from 3d --dry-run',
  'backfill --from 2026-01-15T08:00Z --to 2026-01-15T12:00Z --events call.ended',
  'backfill --from 7d --to-target new-crm',
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
      if (options.to !== undefined && options.to < options.from) {
        throw new RelayError('usage', `--to ${iso(options.to)} is before --from ${iso(options.from)}`)
      }
      tellOfForgotten(config, options)
      await withOutbox(config.outbox.path, (operator) => backfill(operator, config, ultravox, options))
    })
}

function tellOfForgotten({ outbox: { retention } }: Config, { from, dryRun }: Options): void {
  const known = systemClock.now() - retention.keysMs
  if (from >= known || dryRun === true) return
  note(`what came before ${iso(known)} is forgotten (outbox.retention.keys), and would be recorded and delivered again`)
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
  const take = options.dryRun === true ? null : await recorder(operator, config, source, options)
  const findings = noFindings()
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
        graceMs: reconcile?.graceMs ?? GRACE_MS,
        take,
        clock: systemClock,
      })
      await interruptible((signal) => sweep(operator, reconciler, start, findings, options, signal))
    })
  } catch (error) {
    note(`cut off after ${counted(findings.calls, 'call')}. To go on: ${sameCommand(options, start)}`)
    if (!(error instanceof Interrupted)) throw error
    process.exitCode = 1
    return
  }
  report(findings, start, options)
}

/** The source that the events are for. */
function sourceOf({ sources }: Config, { reconcile, webhook }: UltravoxConfig): string {
  const named = reconcile?.source ?? webhook?.source
  if (named !== undefined) return named
  const [only, ...more] = Object.keys(sources)
  if (only !== undefined && more.length === 0) return only
  throw new RelayError('config_invalid', 'which source are the events for? Add ultravox.webhook, with its source')
}

async function recorder(operator: OutboxOperator, config: Config, source: string, { toTarget }: Options) {
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
    return !(await operator.record(event, deliveriesTo(config, targets))).duplicate
  }
}

interface Start {
  /** Under which its progress is kept. */
  readonly name: string
  readonly from: number
  readonly to: number
}

function startOf(source: string, events: readonly string[], { from, to: until, toTarget }: Options): Start {
  const to = until ?? systemClock.now()
  const what = [source, iso(from), iso(to), events.join(','), ...(toTarget ?? [])]
  return { name: `backfill ${what.join(' ')}`, from, to }
}

/** The command that goes on, whenever it is given. */
function sameCommand({ config, account, events, toTarget, dryRun }: Options, { from, to }: Start): string {
  return [
    'backfill',
    ...(config === undefined ? [] : ['--config', config]),
    ...(account === undefined ? [] : ['--account', account]),
    `--from ${iso(from)} --to ${iso(to)}`,
    ...(events === undefined ? [] : ['--events', events.join(',')]),
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
  if (kept.calls != null || kept.deleted != null) note('going on where it was cut off; the counts are of the rest')
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

function report({ calls, counts, unreadable }: Findings, { from, to }: Start, { json, dryRun }: Options): void {
  const rows = [...counts].sort(([a], [b]) => placeInLife(a) - placeInLife(b))
  const document = {
    from: iso(from),
    to: iso(to),
    dryRun: dryRun === true,
    calls,
    events: Object.fromEntries(rows),
    unreadable: unreadable.count,
  }
  const table = shownTable(
    ['EVENT', 'THERE', 'MISSING', dryRun === true ? 'TO RECORD' : 'RECORDED', 'UNRECOVERABLE'],
    rows.map(([event, each]) => [event, each.there, each.missing, recordedOf(each, dryRun), each.unrecoverable]),
  )
  const head = `${counted(calls, 'call')} created from ${iso(from)} to ${iso(to)}\n`
  print(json, document, rows.length === 0 ? head : `${head}\n${table}`)
  if (unreadable.count === 0) return
  note(`${counted(unreadable.count, 'call')} could not be read: ${unreadable.first}`)
  process.exitCode = 1
}

function recordedOf({ missing, recorded, unrecoverable }: EventCounts, dryRun: boolean | undefined): number {
  return dryRun === true ? missing - unrecoverable : recorded
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
