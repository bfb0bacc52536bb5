import { Command, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import type { NewDelivery } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import { parsePayload } from '../domain/event.ts'
import type { EventFilter, OutboxOperator, StoredEvent } from '../outbox/operator.ts'
import { tellOfBodiless } from './bodiless.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { type EventFilterOptions, eventFilter, eventFilterOptions, isEmpty } from './filters.ts'
import { configuredTarget } from './known-target.ts'
import { refuseMissing } from './missing.ts'
import { withOutbox } from './open-outbox.ts'
import { countEach, counted, examples, jsonOption, named, note, print } from './printing.ts'
import { withProgress } from './progress.ts'
import { deliveriesTo, todaysRoutes } from './todays-routes.ts'

/** So many events are read, routed and given their deliveries at once, in one transaction. */
const PAGE = 200

/** The relay's events about itself: news of the day, not to be told again with everything else. */
const RELAY_EVENTS = 'relay.*'

interface ReplayOptions extends EventFilterOptions, ConsentOptions {
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
  for (const option of [...eventFilterOptions(), ...consentOptions()]) command.addOption(option)
  return command
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter. A target gets what it has never had; what has ended there is sent
again with the same id; what is still pending stays as it is. relay.* events are left out unless --event names them.
${examples(
  'events replay --to new-crm --since 7d --dry-run',
  "events replay --to crm --event 'call.*' --call 0a1b2c3d-… --yes",
  'events replay evt_0198c0de0000700080000000000000aa',
)}`,
    )
    .action(async (ids: string[], options: ReplayOptions) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      if (options.to !== undefined) configuredTarget(config, options.to)
      const filter = meant(ids, eventFilter(options))
      await withOutbox(config.outbox.path, async (operator) => {
        await refuseUnknown(operator, ids)
        await replay(operator, config, filter, options)
      })
    })
}

function meant(ids: readonly string[], filter: EventFilter): EventFilter {
  if (ids.length > 0) return { ...filter, eventIds: ids }
  if (isEmpty(filter)) {
    throw new RelayError('usage', 'name events by their ids or by a filter, such as: events replay --since 2h')
  }
  return filter.event?.startsWith('relay.') === true ? filter : { ...filter, exceptEvent: RELAY_EVENTS }
}

async function refuseUnknown(operator: OutboxOperator, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const there = await operator.listEvents({ eventIds: ids }, ids.length)
  refuseMissing(
    'event',
    ids,
    there.map(({ eventId }) => eventId),
  )
}

async function replay(
  operator: OutboxOperator,
  config: Config,
  filter: EventFilter,
  { to, yes, dryRun, json }: ReplayOptions,
): Promise<void> {
  const withBody = { ...filter, hasBody: true }
  const matched = await operator.countEvents(withBody)
  tellOfBodiless(await operator.countEvents({ ...filter, hasBody: false }), filter.eventIds !== undefined)
  const what = counted(matched, 'event')
  const would = `${what} would be replayed ${to === undefined ? "through today's routes" : `to ${to}`}`
  if (dryRun !== true && matched > 0 && !(await confirm(would, yes))) return
  const route = to === undefined ? routerOf(config) : async () => [to]
  const targets = new Map<string, number>()
  let replayed = 0
  await withProgress(matched, async (advance) => {
    for await (const page of pages(operator, withBody, matched)) {
      const replays: { eventSeq: number; deliveries: NewDelivery[] }[] = []
      for (const event of page) {
        const names = await route(event)
        countEach(names, targets)
        replays.push({ eventSeq: event.eventSeq, deliveries: deliveriesTo(config, names) })
      }
      if (dryRun !== true) replayed += await operator.replay(replays, systemClock.now())
      advance(page.length)
    }
  })
  const document = { matched, targets: Object.fromEntries(targets), dryRun: dryRun === true, replayed }
  if (dryRun === true) return print(json, document, `${would}${to === undefined ? named(targets) : ''}\n`)
  print(json, document, `${what} replayed${named(targets)}: ${counted(replayed, 'delivery')} made or tried anew\n`)
}

/** The first `count` events, in the order of their arrival: those that come in meanwhile are not among them. */
async function* pages(operator: OutboxOperator, filter: EventFilter, count: number): AsyncGenerator<StoredEvent[]> {
  let after = 0
  for (let left = count; left > 0; left -= PAGE) {
    const page = await operator.readEvents(filter, after, Math.min(left, PAGE))
    if (page.length === 0) return
    yield page
    after = page.at(-1)!.eventSeq
  }
}

/** Through the routes as they are today. */
function routerOf(config: Config): (event: StoredEvent) => Promise<readonly string[]> {
  const route = todaysRoutes(config)
  return async ({ eventId, body }) => {
    const parsed = parsePayload(body)
    if ('payload' in parsed) return route(parsed.payload, `event ${eventId}`)
    note(`warning: event ${eventId} goes nowhere: ${parsed.problem}`)
    return []
  }
}
