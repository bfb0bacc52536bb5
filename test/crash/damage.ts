import { copyFileSync, ftruncateSync, openSync, renameSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { scratch } from '../scratch.ts'

/** Something that is done to the files of a relay that runs, what it says, and what becomes of the next start. */
interface Damage {
  readonly done: (path: string) => void
  readonly says: RegExp
  /** All that was acknowledged is there again; or what the refusal to start says. */
  readonly afterwards: 'recovers' | RegExp
}

const LOST = /gone or empty, .* restore a backup with .*; or, .* move away .*\.relay\.db\.lock/
const DAMAGED = /(damaged|malformed|not a database).* restore/

export const DAMAGES: Readonly<Record<string, Damage>> = {
  'the log is removed': { done: (path) => rmSync(`${path}-wal`), says: /lost its WAL/, afterwards: 'recovers' },
  'the file is emptied': {
    done: (path) => truncateSync(path, 0),
    says: /overwritten or truncated/,
    afterwards: LOST,
  },
  'the file is removed': { done: (path) => rmSync(path), says: /removed or replaced/, afterwards: LOST },
  'all files are removed but the lock': {
    done: (path) => {
      for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`)
    },
    says: /removed or replaced/,
    afterwards: LOST,
  },
  'the file is cut in half': {
    done: (path) => truncateSync(path, Math.floor(statSync(path).size / 8_192) * 4_096),
    // Which of both is found first is chance: that it is shorter, or a page that is not there.
    says: /truncated while|SQLITE_CORRUPT .* restore a backup/,
    afterwards: DAMAGED,
  },
  'the header is overwritten': {
    done: (path) => void writeSync(openSync(path, 'r+'), Buffer.alloc(4_096, 'x'), 0, 4_096, 0),
    says: /overwritten or truncated/,
    // The log has that page.
    afterwards: 'recovers',
  },
  'the log is emptied': {
    done: (path) => ftruncateSync(openSync(`${path}-wal`, 'r+'), 0),
    says: /lost its WAL|SQLITE_/,
    afterwards: /WAL .* is missing or was emptied, .* restore/,
  },
  'the index is removed': {
    done: (path) => rmSync(`${path}-shm`),
    says: /lost its index/,
    afterwards: 'recovers',
  },
  'another file takes its place': {
    done: (path) => {
      copyFileSync(path, `${path}.other`)
      renameSync(`${path}.other`, path)
    },
    says: /removed or replaced/,
    // With the log of the first, it is the same.
    afterwards: 'recovers',
  },
}

const EVENTS = 60
const TRIED = 5

/** Damages the outbox of a running relay: it has to acknowledge nothing more, to say why, and to come back or refuse to. */
export async function damageUnderRelay(t: Test, name: string): Promise<void> {
  const { done, says, afterwards } = DAMAGES[name]!
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'], paused: true } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const take = async (origin: string, callIds: string[]) => {
    const url = `${origin}/webhooks/ultravox`
    const sent = await Promise.allSettled(callIds.map((callId) => send(url, bodyOf('call.ended', callId))))
    return sent.filter((answer) => answer.status === 'fulfilled' && answer.value.status === 204).length
  }
  const before = Array.from({ length: EVENTS }, (_, n) => `before-${n}`)

  // Half of the events are in the file itself, half in its log.
  const first = await startRelay(t, config)
  t.equal(await take(first.origin, before.slice(0, EVENTS / 2)), EVENTS / 2)
  t.equal((await first.end('SIGTERM')).code, 0)
  const relay = await startRelay(t, config)
  t.equal(await take(relay.origin, before.slice(EVENTS / 2)), EVENTS / 2)
  done(path)
  t.equal(
    await take(
      relay.origin,
      Array.from({ length: TRIED }, (_, n) => `after-${n}`),
    ),
    0,
    'none is acknowledged',
  )
  t.match(await relay.end('SIGCONT'), { code: 1, stdout: says })

  const start = () => startRelay(t, config).catch((error: Error) => error)
  const again = await start()
  if (afterwards instanceof RegExp) {
    for (const refusal of [again, await start()]) {
      t.type(refusal, Error, 'it refuses to start, again and again')
      if (refusal instanceof Error) t.match(refusal.message, afterwards)
    }
    return
  }
  if (again instanceof Error) throw again
  const database = openDatabase(path, { readonly: true })
  t.teardown(() => database.close())
  const stored = new Set(database.prepare('select call_id from events').pluck().all())
  t.same(
    before.filter((callId) => !stored.has(callId)),
    [],
    'all that was acknowledged is there',
  )
  t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
  t.equal(await take(again.origin, ['later']), 1, 'it goes on')
}
