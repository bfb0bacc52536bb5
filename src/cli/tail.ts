import { Command, InvalidArgumentError, Option } from 'commander'
import { entryDocument } from '../documents/journal.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { type AskedEvents, eventFilter } from '../operations/filters.ts'
import { wholeCallId } from '../operations/id-prefixes.ts'
import { assertKnownNames } from '../operations/known-target.ts'
import type { JournalEntry, JournalFilter, JournalPosition, OutboxOperator } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { eventKindOptions, offering } from './filters.ts'
import { INTERRUPTED_STATUS } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { writeJson, writeOut } from './output.ts'
import { parseLimit } from './paging.ts'
import { examples, note } from './printing.ts'
import { repeatUntilInterrupted } from './repeating.ts'
import { requestProblems } from './request-problems.ts'
import { entryLine } from './tail-line.ts'

const POLL_MS = 300

type Kind = JournalEntry['kind']

const KINDS: Readonly<Record<string, Kind>> = { events: 'event', attempts: 'attempt', refusals: 'refusal' }

interface Options extends Pick<AskedEvents, 'event' | 'call' | 'source'> {
  readonly config?: string
  readonly json?: boolean
  readonly follow?: boolean
  readonly lines: number
  readonly target?: string
  readonly only?: Kind[]
}

/** What happens, a line each. Works whether the relay runs or not, and goes on over its restarts. */
export function tailCommand(): Command {
  const command = new Command('tail')
    .description('show what has happened, in order: events received, attempts made, requests refused')
    .addOption(configOption())
    .addOption(new Option('--json', 'print one JSON object a line'))
    .addOption(new Option('-f, --follow', 'go on with what happens, until Ctrl-C'))
    .addOption(new Option('-n, --lines <count>', 'begin with so many of the last').argParser(parseLines).default(20))
    .addOption(
      offering(
        new Option('--only <kinds>', 'only these; several with commas').argParser(parseKinds),
        Object.keys(KINDS),
      ),
    )
    .addOption(new Option('--target <name>', 'attempts at this target only'))
  for (const option of eventKindOptions()) command.addOption(option)
  return command
    .addHelpText(
      'after',
      examples(
        'tail --follow',
        'tail --call 0a1b2c3d-… --lines 100',
        'tail -f --only attempts,refusals',
        'tail -f --target crm --json',
      ),
    )
    .action(async (options: Options) => {
      const filter = journalFilter(options)
      const config = await outboxConfig(options.config)
      await withOutbox(config.outbox.path, async (operator) => {
        await assertKnownNames(operator, config, options)
        if (options.json !== true && filter.kinds.includes('refusal')) {
          const found = await requestProblems(operator, config, systemClock.now())
          for (const { name, message, advice } of found) note(`${name} ${message}\n  ${advice}`)
        }
        const whole =
          filter.callId === undefined ? filter : { ...filter, callId: await wholeCallId(operator, filter.callId) }
        await tail(operator, whole, options)
      })
    })
}

async function tail(operator: OutboxOperator, filter: JournalFilter, { lines, follow, json }: Options): Promise<void> {
  const show = (entries: readonly JournalEntry[]) => {
    if (json === true) for (const entry of entries) writeJson(entryDocument(entry), 0)
    else writeOut(entries.map(entryLine).join(''))
  }
  if (follow !== true) {
    const { entries } = await operator.newestEntries(filter, lines)
    show(entries)
    if (entries.length === 0 && lines > 0) note('nothing to show')
    return
  }
  let reached: JournalPosition | undefined
  // The first look is one of them, so that Ctrl-C ends it well from the first line on.
  await repeatUntilInterrupted(async () => {
    const page = await (reached === undefined
      ? operator.newestEntries(filter, lines)
      : operator.entriesAfter(filter, reached))
    reached = page.position
    show(page.entries)
  }, POLL_MS)
  process.exitCode = INTERRUPTED_STATUS
}

/** Throws `usage` where `--only` asks for what another option leaves out. */
function journalFilter({ only, target, ...event }: Options): JournalFilter {
  const named = target === undefined ? {} : { target }
  const filter = { ...eventFilter(event), ...named }
  const able = Object.values(KINDS).filter((kind) => LACKING[kind].every((key) => !(key in filter)))
  const unable = only?.find((kind) => !able.includes(kind))
  if (unable !== undefined) throw new RelayError('usage', `${LACKS[unable]}, or leave ${unable}s out of --only`)
  return { ...filter, kinds: only ?? able }
}

/** What entries cannot be chosen by: a refused request says nothing that could be believed. */
const LACKING: Readonly<Record<Kind, readonly (keyof JournalFilter)[]>> = {
  event: ['target'],
  attempt: [],
  refusal: ['target', 'event', 'callId'],
}

const LACKS: Readonly<Record<Kind, string>> = {
  event: 'an event has no target, only its attempts do: leave out --target',
  attempt: '',
  refusal: 'of a refused request neither event nor call nor target is known: leave out --event, --call and --target',
}

function parseKinds(text: string, earlier: readonly Kind[] = []): Kind[] {
  const kinds = text.split(',').map((each) => {
    if (!Object.hasOwn(KINDS, each)) throw new InvalidArgumentError(`write ${Object.keys(KINDS).join(' or ')}`)
    return KINDS[each]!
  })
  return [...new Set([...earlier, ...kinds])]
}

/** Parses `--lines`; 0 is none of what was. */
function parseLines(text: string): number {
  return text === '0' ? 0 : parseLimit(text)
}
