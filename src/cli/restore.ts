import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { Replaced, RestoreReport } from '../outbox/maintenance.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { iso, isoOrNull } from './instant.ts'
import { withRestoration } from './open-outbox.ts'
import { counted, examples, jsonOption, print } from './printing.ts'

interface RestoreCommandOptions extends ConsentOptions {
  readonly config?: string
  readonly json?: boolean
  readonly withoutWal?: boolean
}

/** Puts a backup in the place of the outbox. Only while no relay runs on it. */
export function restoreCommand(): Command {
  const command = new Command('restore')
    .description('replace the outbox with a backup, while the relay is stopped')
    .argument('[file]', 'a file made by backup, or another copy of an outbox; a WAL beside it (FILE-wal) is included')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(
      new Option('--without-wal', 'restore a file whose WAL is missing; without a file, go on with the outbox itself'),
    )
  for (const option of consentOptions()) command.addOption(option)
  return command.addHelpText('after', HELP).action(async (file: string | undefined, options: RestoreCommandOptions) => {
    const { config, json, yes, dryRun = false, withoutWal = false } = options
    if (file === undefined && !withoutWal) {
      throw new RelayError('usage', 'name the backup to restore, or pass --without-wal to go on with the outbox itself')
    }
    const { path } = loadWithoutSecrets(configFile(config)).config.outbox
    await withRestoration(path, file ?? null, { withoutWal }, async ({ report, commit }) => {
      const would = `${contentText(report)}\n${lossText(report)}`
      const document = { ...documentOf(report), dryRun }
      if (dryRun) return print(json, { ...document, keptIn: null }, `would restore ${would}\n`)
      if (!(await confirm(`this restores ${would}\nno relay can start on it until it is done`, yes))) return
      const { keptIn } = commit(systemClock.now())
      const kept = keptIn === null ? '' : `; the one it replaced is kept in ${keptIn}`
      print(json, { ...document, keptIn }, `${report.path} restored${kept}\n`)
    })
  })
}

const HELP = `
Copies the file, checks the copy, and puts it in the place of the outbox. What was there is moved into a directory beside it, with
its WAL: \`restore\` takes that back in the same way. Refuses while a relay runs on the outbox; none can start until it is done.
Under systemd, stop the socket too, or the next webhook starts the relay again: systemctl stop ultravox-relay.socket ultravox-relay.service

Everything acknowledged before the backup is there, and its deliveries go on from where they were then. What was delivered
since is delivered once more, with the same webhook-id. Events received since are only in the outbox that was replaced: fetch
them with backfill.
${examples('restore /var/backups/relay.db', 'restore relay.db-replaced-20260131T120000Z/relay.db', 'restore --without-wal --yes')}`

function contentText({ from, path, events, deliveries, unfinished, newestEventAt }: RestoreReport): string {
  const newest = newestEventAt === null ? '' : `, the newest received at ${iso(newestEventAt)}`
  const content = `${counted(events, 'event')}${newest}; ${counted(deliveries, 'delivery')}, ${unfinished} unfinished`
  return `${from} to ${path}: ${content}`
}

function lossText({ replaced, incompleteSince, newestEventAt }: RestoreReport): string {
  const lines: string[] = []
  if (incompleteSince !== null) lines.push(`without its WAL: events since ${iso(incompleteSince)} are missing`)
  if (replaced !== null) lines.push(replacedText(replaced))
  const since = incompleteSince ?? firstMissing(replaced, newestEventAt)
  if (since !== null) lines.push(`fetch what Ultravox still has: ultravox-relay backfill --from ${iso(since)}`)
  return lines.join('\n')
}

function firstMissing(replaced: Replaced | null, newestEventAt: number | null): number | null {
  if (replaced === null) return null
  return 'problem' in replaced ? newestEventAt : replaced.firstMissingAt
}

function replacedText(replaced: Replaced): string {
  if ('problem' in replaced) return `the outbox that is replaced cannot be read: ${replaced.problem}`
  const { missing, firstMissingAt, lastMissingAt } = replaced
  if (missing === 0) return 'the outbox that is replaced has no other events'
  const span = `received from ${iso(firstMissingAt!)} to ${iso(lastMissingAt!)}`
  return `the outbox that is replaced has ${counted(missing, 'event')} that this one has not, ${span}`
}

function documentOf({ replaced, newestEventAt, incompleteSince, ...rest }: RestoreReport) {
  const instants = { newestEventAt: isoOrNull(newestEventAt), incompleteSince: isoOrNull(incompleteSince) }
  if (replaced === null || 'problem' in replaced) return { ...rest, ...instants, replaced }
  const { missing, firstMissingAt, lastMissingAt } = replaced
  const span = { firstMissingAt: isoOrNull(firstMissingAt), lastMissingAt: isoOrNull(lastMissingAt) }
  return { ...rest, ...instants, replaced: { missing, ...span } }
}
