import { realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Command, Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { type LeftoverFile, notePartial, removeLeftoversIn, removeNoted } from '../leftovers.ts'
import { unmountedProblem } from '../mounts.ts'
import { lockFileOf } from '../outbox/lock-file.ts'
import type { BackupReport } from '../outbox/maintenance.ts'
import { bytes } from './bytes.ts'
import { configOption } from './config-file.ts'
import { Interrupted, interruptible } from './interruption.ts'
import { newFilePath, writeWhole } from './new-file.ts'
import { withMaintenance } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, jsonOption, note, print } from './printing.ts'
import { createProgressBar } from './progress-bar.ts'

interface BackupOptions {
  readonly config?: string
  readonly json?: boolean
  readonly force?: boolean
}

/** A copy of the outbox as it is at one moment. Works whether the relay runs or not. */
export function backupCommand(): Command {
  return new Command('backup')
    .description('copy the outbox into a file, also while the relay runs')
    .argument('<file>', 'the file to write; it holds phone calls’ data, so only its owner may read it')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('--force', 'replace the file if it is there'))
    .addHelpText(
      'after',
      `\nThe copy is checked before it gets its name, so a file of that name is a whole backup. The README says how to
restore one.\n${examples('backup /var/backups/relay.db', 'backup relay-$(date +%F).db --json')}`,
    )
    .action(async (asked: string, { config: given, json, force = false }: BackupOptions) => {
      const config = await outboxConfig(given)
      await withMaintenance(config.outbox.path, async (outbox) => {
        refuseOutboxItself(asked, config.outbox.path)
        const file = newFilePath(asked, force)
        assertMounted(file)
        const noted = removeNoted(dirname(config.outbox.path), dirname(file))
        for (const each of [...removeLeftoversIn(dirname(file)), ...noted]) {
          note(leftoverText(each))
        }
        const bar = createProgressBar('copying')
        let endNote = () => {}
        try {
          const report = await interruptible((signal) =>
            writeWhole(file, force, signal, (path) => {
              endNote = notePartial(config.outbox.path, path)
              return outbox.backup(path, { onProgress: bar.show, signal })
            }),
          )
          bar.end()
          const size = statSync(file).size
          print(json, { file, bytes: size, ...report }, `${file}: ${bytes(size)}, ${contentOf(report)}\n`)
        } catch (error) {
          bar.end()
          if (!(error instanceof Interrupted)) throw error
          note('interrupted: there is no backup, and nothing was left behind')
          process.exitCode = 1
        } finally {
          endNote()
        }
      })
    })
}

/** A backup on the wrong disk is hidden once the right one is mounted. */
function assertMounted(file: string): void {
  const unmounted = unmountedProblem(file)
  if (unmounted !== undefined) throw new RelayError('file_unwritable', `cannot write ${file}: ${unmounted}`)
}

function contentOf({ events, deliveries }: BackupReport): string {
  if (events === null || deliveries === null) return 'written by a newer version of the relay'
  return `${counted(events, 'event')}, ${counted(deliveries, 'delivery')}`
}

function leftoverText({ path, problem }: LeftoverFile): string {
  return problem === null
    ? `removed ${path}, the part of a backup that was killed`
    : `cannot remove ${path}, the part of a backup that was killed: ${problem}; it holds call data, remove it`
}

/** Also through a link of either kind. */
function refuseOutboxItself(asked: string, outbox: string): void {
  const there = statSync(asked, { throwIfNoEntry: false })
  if (there === undefined) return
  const path = realpathSync(outbox)
  for (const file of [path, `${path}-wal`, `${path}-shm`, lockFileOf(path)]) {
    const own = statSync(file, { throwIfNoEntry: false })
    if (own?.ino === there.ino && own.dev === there.dev) {
      throw new RelayError('usage', `${asked} is the outbox itself: name another file`)
    }
  }
}
