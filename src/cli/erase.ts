import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { cancelAndRecall, NOT_RECALLED } from '../operations/recall.ts'
import type { Erasable, OutboxMaintenance } from '../outbox/maintenance.ts'
import { findRecordings, recordingsDirectory, removeRecordings } from '../ultravox/kept-recordings.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { interruptible } from './interruption.ts'
import { withMaintenance } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, jsonOption, note, print, sentAnyway } from './printing.ts'
import { oneLine } from './table.ts'

interface EraseOptions extends ConsentOptions {
  readonly config?: string
  readonly json?: boolean
  readonly call: string
  readonly cancel?: boolean
}

/** For somebody who wants to be forgotten. Works whether the relay runs or not. */
export function eraseCommand(): Command {
  const command = new Command('erase')
    .description('erase what is on record of a call, for a privacy request')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('--call <id>', 'the whole call id').makeOptionMandatory())
    .option('--cancel', 'give up its unfinished deliveries, which need what is erased')
  for (const option of consentOptions()) command.addOption(option)
  return command.addHelpText('after', HELP).action(async (options: EraseOptions) => {
    const config = await outboxConfig(options.config)
    if (options.call === '') throw new RelayError('usage', '--call is empty: write the whole call id')
    // One call is erased whole: a signal is not obeyed before that is done.
    await interruptible(() =>
      withMaintenance(config.outbox.path, (outbox) => erase(outbox, config.outbox.path, options)),
    )
  })
}

const HELP = `
Erases the bodies of the call's events, what targets answered, its transcript and recording, and kept requests of the call
that were refused. What stays: that there were events of these names, when they came, and when they were sent where, with
the call id; so what comes again is still recognised as a duplicate and not stored. An event of the call that is new is
stored like any other: delete the call at Ultravox first.

The bytes are overwritten in the outbox and gone from its log. Backups and replicas made before still have them, and so have
your targets.
${examples(
  'erase --call 0a1b2c3d-0000-4000-8000-00000000aaaa --dry-run',
  'erase --call 0a1b2c3d-0000-4000-8000-00000000aaaa --cancel --yes --json',
)}`

async function erase(outbox: OutboxMaintenance, path: string, options: EraseOptions): Promise<void> {
  const { call, cancel = false, dryRun = false, yes, json } = options
  const directory = recordingsDirectory(path)
  const found = await outbox.findErasable(call)
  const { unfinished } = found
  if (found.eventIds.length + found.rejections === 0) {
    throw new RelayError('not_found', `nothing is known of a call ${oneLine(call)}; write the whole id`)
  }
  const matched = { ...document(found), recordings: findRecordings(directory, found.eventIds).length }
  const isSomething = Object.entries(matched).some(([what, count]) => what !== 'events' && count > 0)
  const nothingLeft = `nothing is left of call ${oneLine(call)} to erase`
  const would = `of call ${oneLine(call)} would be erased: ${phrase(matched)}`
  if (dryRun) {
    if (unfinished > 0) note(needed(unfinished))
    return print(
      json,
      { callId: call, dryRun, matched, erased: NOTHING, underWay: null, deliveredMeanwhile: 0, logEmptied: null },
      `${isSomething ? would : nothingLeft}\n`,
    )
  }
  if (unfinished > 0 && !cancel) throw new RelayError('usage', needed(unfinished))
  const cancelled = unfinished > 0 ? `, and ${counted(unfinished, 'delivery')} cancelled` : ''
  if (isSomething && !(await confirm(`${would}${cancelled}`, yes))) return
  // Also where nothing is left: an older copy may still be in the log, and a delivery cancelled before may be under way.
  const ofCall = new Set<string | null>(found.eventIds)
  const [{ logEmptied, ...counts }, { underWay, deliveredMeanwhile }] = await cancelAndRecall(
    outbox,
    ({ eventId }) => ofCall.has(eventId),
    async () => {
      const done = await outbox.erase(call, cancel, systemClock.now())
      for (const eventId of done.eventIds) ofCall.add(eventId)
      return done
    },
  )
  // After the recall: none is fetched any more for what was only claimed.
  const recordings = removeRecordings(directory, counts.eventIds)
  const erased = { ...document(counts), recordings }
  const done = isSomething ? `erased: ${phrase(erased)}\n` : `${nothingLeft}\n`
  print(json, { callId: call, dryRun, matched, erased, underWay, deliveredMeanwhile, logEmptied }, done)
  const sent = sentAnyway({ underWay, deliveredMeanwhile })
  if (sent !== '') note(`its deliveries were cancelled${sent}`)
  note('backups and replicas made before still have it, and what your targets were sent, they have')
  if (underWay === null) {
    note(NOT_RECALLED)
    process.exitCode = 1
  }
  if (logEmptied) return
  note(`a program that reads the outbox keeps older copies in its log: end it (fuser -v ${path}), then run this again`)
  process.exitCode = 1
}

type Counts = ReturnType<typeof document> & { readonly recordings: number }

const NOTHING: Counts = {
  events: 0,
  bodies: 0,
  answers: 0,
  attachments: 0,
  recordings: 0,
  rejections: 0,
  unfinished: 0,
}

function document({ eventIds, ...counts }: Erasable) {
  return { events: eventIds.length, ...counts }
}

function needed(unfinished: number): string {
  const which = unfinished === 1 ? '1 delivery of it is' : `${counted(unfinished, 'delivery')} of it are`
  return `${which} unfinished and would go out without what is erased: wait for their end, or say --cancel to give them up`
}

function phrase({ events, bodies, answers, attachments, recordings, rejections }: Counts): string {
  const refused = rejections === 0 ? '' : `, ${counted(rejections, 'rejection')}`
  const attached = attachments + recordings === 0 ? '' : ', what was fetched for them'
  const said = answers === 1 ? '1 answer' : `${answers} answers`
  return `the bodies of ${bodies} of its ${counted(events, 'event')}, ${said} of targets${attached}${refused}`
}
