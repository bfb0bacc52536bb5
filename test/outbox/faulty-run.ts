import { join } from 'node:path'
import { newFilePath, writeWhole } from '../../src/cli/new-file.ts'
import { errorMessage } from '../../src/domain/errors.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { replaceFile } from '../../src/safe-file.ts'
import { type FaultyCase, setFaults } from '../faulty-storage.ts'

/*
 * Does each case of its argument on a file system with faults, in its directory, and prints its result as a line of JSON.
 */

const WORK = {
  async open(directory: string) {
    await (await SqliteOutbox.open(join(directory, 'relay.db'), () => {})).close()
  },
  async backup(directory: string) {
    const outbox = join(directory, '..', `${process.pid}.db`)
    await (await SqliteOutbox.open(outbox, () => {})).close()
    const maintenance = SqliteMaintenance.open(outbox)
    const signal = new AbortController().signal
    try {
      await writeWhole(newFilePath(join(directory, 'copy.db'), true), true, signal, (path) =>
        maintenance.backup(path, { onProgress: () => {}, signal }),
      )
    } finally {
      await maintenance.close()
    }
  },
  async replace(directory: string) {
    replaceFile(join(directory, 'file'), 'new', { mode: 0o640 })
  },
}

for (const { work, directory, faults, only = '' } of JSON.parse(process.argv[2]!) as FaultyCase[]) {
  setFaults(join(directory, only), faults)
  let came = 'done'
  try {
    await WORK[work](directory)
  } catch (error) {
    came = `${(error as { code?: string }).code}: ${errorMessage(error)}`
  }
  setFaults('', {})
  process.stdout.write(`${JSON.stringify(came)}\n`)
}
process.exit(0)
