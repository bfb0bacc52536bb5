import { Command, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { type AskedReplay, replayFilter } from '../operations/filters.ts'
import { forecastDocument, QueuesBefore } from '../operations/forecasts.ts'
import { wholeEventIds, withWholeIds } from '../operations/id-prefixes.ts'
import { assertKnownNames, configuredTarget } from '../operations/known-target.ts'
import { meantEvents, refuseUnknownEvents, replayEvents } from '../operations/replay.ts'
import type { EventFilter, OutboxOperator } from '../outbox/operator.ts'
import { tellOfBodiless } from './bodiless.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { eventFilterOptions } from './filters.ts'
import { forecastText } from './forecasts.ts'
import { iso } from './instant.ts'
import { interruptible, tellRest } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, named, note, print } from './printing.ts'
import { withProgress } from './progress.ts'
import { tellIfNoRelayRuns } from './waiting.ts'

const NOTHING_NAMED = 'name events by their ids or by a filter, such as: events replay --since 2h'

interface ReplayOptions extends AskedReplay, ConsentOptions {
  readonly config?: string
  readonly json?: boolean
  readonly to?: string
}

export function replayCommand(): Command {
  const command = new Command('replay')
    .description('send events once more: to one target, or through the routes as they are today')
    .argument('[ids...]', 'event ids')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('--to <target>', 'to this target only, whatever the routes say'))
    .addOption(new Option('--failed-at <target>', 'events whose delivery to this target is dead'))
    .addOption(new Option('--or-failing', 'with --failed-at: or pending there after a failed attempt'))
    .addOption(new Option('--after <id>', 'events recorded after this one'))
  for (const option of [...eventFilterOptions(), ...consentOptions()]) command.addOption(option)
  return command
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter. A target gets what it has never had; what has ended there is sent
again with the same id; what is still pending stays as it is. The relay's own alerts are left out
unless --event 'relay.*' or --source relay names them.
${examples(
  'events replay --to new-crm --since 7d --dry-run',
  'events replay --failed-at old-crm --to crm',
  "events replay --to crm --event 'call.*' --call 0a1b2c3d-… --yes",
  'events replay evt_0198c0de0000700080000000000000aa',
)}`,
    )
    .action(async (ids: string[], options: ReplayOptions) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      if (options.to !== undefined) configuredTarget(config, options.to)
      if (meantEvents(ids, replayFilter(options)) === undefined) throw new RelayError('usage', NOTHING_NAMED)
      await withOutbox(config.outbox.path, async (operator) => {
        await assertKnownNames(operator, config, options)
        const wholeIds = await wholeEventIds(operator, ids)
        const whole = await withWholeIds(operator, options)
        await refuseUnknownEvents(operator, [...wholeIds, ...(whole.after === undefined ? [] : [whole.after])])
        await replay(operator, config, meantEvents(wholeIds, replayFilter(whole))!, options)
      })
    })
}

async function replay(
  operator: OutboxOperator,
  config: Config,
  filter: EventFilter,
  { to, yes, dryRun = false, json }: ReplayOptions,
): Promise<void> {
  const withBody = { ...filter, hasBody: true }
  const matched = await operator.countEvents(withBody)
  tellOfBodiless(await operator.countEvents({ ...filter, hasBody: false }), filter.eventIds !== undefined)
  const what = counted(matched, 'event')
  const would = `${what} would be replayed ${to === undefined ? "through today's routes" : `to ${to}`}`
  if (!dryRun && matched > 0 && !(await confirm(would, yes))) return
  const startedAt = systemClock.now()
  const queues = await QueuesBefore.read(operator, config, systemClock.now())
  const { replayed, targets, worked, last } = await interruptible((signal) =>
    withProgress(matched, (advance) =>
      replayEvents(operator, config, withBody, matched, {
        to,
        dryRun,
        clock: systemClock,
        warn: note,
        advance,
        signal,
      }),
    ),
  )
  const now = systemClock.now()
  const forecasts = await (dryRun ? queues.aheadOfReplay(targets, withBody, now) : queues.after(targets, now))
  const expected = forecasts.map(forecastDocument)
  const document = { matched, targets: Object.fromEntries(targets), dryRun, replayed, expected }
  const outlook = forecastText(forecasts, now)
  if (dryRun) return print(json, document, `${would}${to === undefined ? named(targets) : ''}\n${outlook}`)
  if (replayed > 0) await tellIfNoRelayRuns(operator)
  const some = worked === matched ? what : `${worked} of ${what}`
  const planned = [...targets.values()].reduce((sum, count) => sum + count, 0)
  const unchanged = planned - replayed
  const pending = unchanged === 0 ? '' : `; ${unchanged} still pending, left as they are`
  print(
    json,
    document,
    matched === 0
      ? 'no events match, nothing was replayed\n'
      : `${some} replayed${named(targets)}: ${counted(replayed, 'delivery')} queued${pending}\n${outlook}`,
  )
  if (replayed === 0) process.exitCode = 1
  if (worked === matched) return
  // What has come in meanwhile was not meant.
  const until = filter.until === undefined ? ['--until', iso(startedAt)] : []
  const after = last === null ? [] : ['--after', last]
  tellRest('events replayed', { worked, matched, options: [...after, ...until] })
}
