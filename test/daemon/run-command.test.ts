import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { fill, sink, sources } from './operator-commands.ts'
import { type Finished, runRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'

const BODY = '{"event":"call.ended","call":{"callId":"c"}}'

/** Of the commands that other tests run in a shared process only, each way to read, to change and to end. */
const LINES = [
  'status',
  'events replay EVENT --to crm --yes',
  'calls show dead',
  'deliveries list --json',
  'deliveries retry 1',
  'deliveries cancel 1 --yes',
  'rejections show 1 --payload',
  'targets list --color on',
  'backup copy.db',
  'doctor',
  'check --config broken.yaml',
  'reload',
  'deliveries show 99',
  'deliveries lsit',
  'events list --help',
]

t.test('a command tells the same in a shared process as in one of its own', async (t) => {
  const original = scratch(t)
  writeConfig(original, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  writeFileSync(join(original, 'broken.yaml'), 'targets: 1\n')
  const [event] = await fill(original, [{ callId: 'dead' }, { callId: 'umlaut-ü' }], ['crm'], 'dead')
  await refuse(original)
  for (const line of LINES) {
    const args = line.replace('EVENT', event!).split(' ')
    const [alone, shared] = await Promise.all([ranIn(copy(), runRelay, args), ranIn(copy(), runCommand, args)])
    t.same(shared, alone, line)
  }

  function copy(): string {
    const directory = scratch(t)
    cpSync(original, directory, { recursive: true })
    return directory
  }
})

/** What a command told, without what differs from one run to the next. */
async function ranIn(directory: string, run: typeof runRelay, args: string[]): Promise<Finished> {
  const { stdout, stderr, ...end } = await run(args, directory)
  const plain = (text: string) =>
    text
      .replaceAll(directory, 'DIRECTORY')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replace(/\b\d+(\.\d+)? ?(ms|s|KB|MB|GB|TB)\b/g, 'N')
      .replace(/\bevt_[0-9a-f]{32}/g, 'ID')
      .replace(/ +/g, ' ')
  return { ...end, stdout: plain(stdout), stderr: plain(stderr) }
}

async function refuse(directory: string): Promise<void> {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const given = {
    source: 'ultravox',
    receivedAt: Date.now(),
    requestId: 'req_1',
    peer: '192.0.2.1',
    bytes: BODY.length,
    headers: '{}',
  }
  const kept = { body: Buffer.from(BODY), contentType: null }
  await outbox.reject({ ...given, reason: 'timestamp_stale', kept })
  await outbox.close()
}
