import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { spawnRelay } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'

/** What may go on beside a relay that is about to be killed. */
export const COMMANDS = [
  'none',
  'retry',
  'sighup',
  'reload',
  'prune',
  'backup',
  'killed backup',
  'killed prune',
] as const
export type Command = (typeof COMMANDS)[number]

const LINES = {
  retry: ['deliveries', 'retry', '--target', 'crm', '--state', 'dead', '--state', 'delivered', '--yes'],
  reload: ['reload'],
  prune: ['prune', '--older-than', '1s', '--yes'],
  backup: ['backup', 'copy.db', '--force'],
}

/** What became of one: null where all was well. */
export type Complaint = string | null

/**
 * Runs a command beside a relay that may be killed at any moment. Whatever becomes of the relay, a command has to come to its
 * end, and a backup has to hold what was acknowledged before it began (`acknowledged`: call ids so far).
 */
export async function runUnlucky(
  directory: string,
  command: Command,
  relay: { kill(signal: NodeJS.Signals): unknown },
  acknowledged: ReadonlySet<string>,
  random: () => number,
): Promise<Complaint> {
  switch (command) {
    case 'none':
      return null
    case 'sighup':
      relay.kill('SIGHUP')
      return null
    case 'killed backup':
      return killed(directory, LINES.backup, random)
    case 'killed prune':
      return killed(directory, LINES.prune, random)
    default: {
      const before = [...acknowledged]
      const { code, stdout, stderr } = await runCommand(LINES[command], directory)
      // A reload needs a relay that lives until it is done.
      if (command === 'reload') return null
      if (code !== 0) return `${command} ended with ${code}: ${stdout}${stderr}`
      return command === 'backup' ? backupComplaint(join(directory, 'copy.db'), before) : null
    }
  }
}

async function killed(directory: string, line: string[], random: () => number): Promise<Complaint> {
  const child = spawnRelay(line, {}, directory)
  const ended = once(child, 'close')
  await sleep(200 + random() * 600)
  child.kill('SIGKILL')
  await ended
  return null
}

function backupComplaint(path: string, acknowledged: readonly string[]): Complaint {
  const copy = openDatabase(path, { readonly: true })
  try {
    const has = new Set(copy.prepare('select call_id from events').pluck().all())
    const lost = acknowledged.filter((callId) => !has.has(callId))
    return lost.length === 0 ? null : `the backup has not ${lost.length} events acknowledged before it`
  } finally {
    copy.close()
  }
}
