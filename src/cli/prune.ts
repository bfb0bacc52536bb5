import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { OutboxMaintenance, Prunable, PruneFilter, Space } from '../outbox/maintenance.ts'
import { bytes } from './bytes.ts'
import { refuseDoubtfulClock } from './clock.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { iso, parseInstant } from './instant.ts'
import { interruptible, tellRest } from './interruption.ts'
import { withMaintenance, withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, jsonOption, print } from './printing.ts'
import { withProgress } from './progress.ts'

/** Events or rejections that are looked up at once; they are removed in steps of a few milliseconds. */
const STEP = 300

interface PruneOptions extends ConsentOptions {
  readonly config?: string
  readonly json?: boolean
  readonly olderThan: number
  readonly bodies?: boolean
  readonly dead?: boolean
  readonly vacuum?: boolean
}

/** Retention by hand. Works whether the relay runs or not. */
export function pruneCommand(): Command {
  const command = new Command('prune')
    .description('remove what is old and done with')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(
      new Option('--older-than <time>', 'what was received before: an age such as 30d, or an ISO time')
        .argParser((text) => parseInstant(text, systemClock.now()))
        .makeOptionMandatory(),
    )
    .option('--bodies', 'drop only the bodies of events: who they are and what became of them stays')
    .option('--dead', 'also events with dead deliveries, which can then not be retried any more')
    .option('--vacuum', 'make the file smaller afterwards; only while the relay is stopped')
  for (const option of consentOptions()) command.addOption(option)
  return command.addHelpText('after', HELP).action(async (options: PruneOptions) => {
    const config = await outboxConfig(options.config)
    if (options.dryRun !== true) await withOutbox(config.outbox.path, refuseDoubtfulClock)
    await withMaintenance(config.outbox.path, async (outbox) => {
      if (options.vacuum === true && (await outbox.isRunning())) throw relayRuns()
      await prune(outbox, options)
    })
  })
}

const HELP = `
A running relay removes what is old by itself (outbox.retention). This is for doing it now, or for more.

Removes events with their bodies, deliveries and attempts, once all of their deliveries have ended (delivered or cancelled;
dead with --dead), and rejections. Kept rejections stay, with --bodies too: they may be genuine events that
rejections admit can still record. Delete those with: rejections clear --kept. What is still pending stays, and so does a dead delivery that holds its call back
(onDead: hold). A running relay goes on meanwhile.

What is lost: the history, and the means to send an event again; with --bodies only the latter. That an event was there stays
on record for outbox.retention.keys: if it comes once more, or is looked for at Ultravox, it is known.

The space is used again for what comes in. The file itself gets smaller only with --vacuum, which rewrites it and needs as
much free space again meanwhile.
${examples(
  'prune --older-than 90d --dry-run',
  'prune --older-than 30d --bodies --yes',
  'prune --older-than 2026-01-01 --dead --vacuum',
)}`

function relayRuns(): RelayError {
  const why = '--vacuum rewrites the whole file, and the relay that runs on it would have to wait'
  return new RelayError('outbox_locked', `${why}: stop it first, or leave --vacuum out`)
}

async function prune(outbox: OutboxMaintenance, options: PruneOptions): Promise<void> {
  const { olderThan: before, bodies: bodiesOnly = false, dead = false, dryRun = false, yes, json } = options
  const filter: PruneFilter = { before, dead, bodiesOnly }
  const matched = await outbox.countPrunable(filter)
  const would = `${phrase(matched, bodiesOnly, matched.bodyBytes)} from before ${iso(before)} would be removed`
  const document = { before: iso(before), bodiesOnly, dryRun, matched }
  if (dryRun) return print(json, { ...document, removed: NOTHING, space: await outbox.space() }, `${would}\n`)
  const isSomething = matched.events + matched.rejections > 0
  if (isSomething && !(await confirm(would, yes))) return
  const { isInterrupted = false, ...removed } = isSomething ? await remove(outbox, filter, matched) : { ...NOTHING }
  if (options.vacuum === true && !isInterrupted) await outbox.vacuum()
  const space = await outbox.space()
  print(json, { ...document, removed, space }, `${phrase(removed, bodiesOnly)} removed; ${spaceText(space)}\n`)
  const worked = removed.events + removed.rejections
  if (isInterrupted) tellRest('removed', { worked, matched: matched.events + matched.rejections, options: [] })
}

interface Ended {
  readonly isInterrupted: boolean
}

type Removed = { events: number; deliveries: number; rejections: number }

const NOTHING: Readonly<Removed> = { events: 0, deliveries: 0, rejections: 0 }

function remove(outbox: OutboxMaintenance, filter: PruneFilter, matched: Prunable): Promise<Removed & Partial<Ended>> {
  return interruptible((signal) =>
    withProgress(matched.events + matched.rejections, (advance) => removeInSteps(outbox, filter, advance, signal)),
  )
}

async function removeInSteps(
  outbox: OutboxMaintenance,
  filter: PruneFilter,
  advance: (count: number) => void,
  signal: AbortSignal,
): Promise<Removed & Ended> {
  const removed = { ...NOTHING }
  for (let after: number | undefined = 0; after !== undefined && !signal.aborted; ) {
    const from: number = after
    const step = await outbox.pruneEvents(filter, from, STEP, systemClock.now())
    removed.events += step?.events ?? 0
    removed.deliveries += step?.deliveries ?? 0
    advance(step?.events ?? 0)
    after = step?.after
  }
  for (let count = STEP; count === STEP && !signal.aborted; ) {
    count = await outbox.pruneRejections(filter.before, STEP)
    removed.rejections += count
    advance(count)
  }
  return { ...removed, isInterrupted: signal.aborted }
}

function phrase({ events, rejections }: Removed | Prunable, bodiesOnly: boolean, bodyBytes?: number): string {
  const size = bodyBytes === undefined || events === 0 ? '' : ` (${bytes(bodyBytes)})`
  const refused = counted(rejections, 'rejection')
  const some = `${counted(events, 'event')}${size}`
  return bodiesOnly ? `${refused} and the bodies of ${some}` : `${some} and ${refused}`
}

function spaceText({ totalBytes, reusableBytes }: Space): string {
  return `${bytes(reusableBytes)} of the outbox's ${bytes(totalBytes)} are free to be used again`
}
