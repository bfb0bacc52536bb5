import { join } from 'node:path'
import type { Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'

/**
 * A relay whose only target is paused, and a client that sends it unique calls and takes down which were acknowledged. What
 * goes wrong with its storage is the test's business.
 */
export function takingRelay(t: Test, directory: string, outbox: Record<string, unknown> = {}) {
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'], paused: true } },
    routes: [{ events: ['*'], to: ['crm'] }],
    outbox: { path: './relay.db', reserve: '0mb', ...outbox },
  })
  const path = join(directory, 'relay.db')
  const acknowledged: string[] = []
  let sent = 0

  return {
    path,
    acknowledged,
    start: () => startRelay(t, config),
    /** The message of a start that is refused; null where it is not. */
    refusal: () =>
      startRelay(t, config).then(
        async (relay) => {
          await relay.end('SIGKILL')
          return null
        },
        (error: Error) => error.message,
      ),

    /** Sends so many at once, and gives the statuses of the answers; 0 where there was none. */
    take: (origin: string, count: number) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          const callId = `call-${++sent}`
          const answer = send(`${origin}/webhooks/ultravox`, bodyOf('call.ended', callId))
          const status = await answer.then(
            (answer) => answer.status,
            () => 0,
          )
          if (status >= 200 && status < 300) acknowledged.push(callId)
          return status
        }),
      ),

    /** Looks whether all that was acknowledged is there, with its delivery, in a file that is sound. */
    assertAllThere(t: Test) {
      const database = openDatabase(path, { readonly: true })
      try {
        const sql =
          'select call_id from events join live_deliveries using (event_seq) join event_bodies using (event_seq)'
        const stored = new Set(database.prepare(sql).pluck().all())
        t.same(
          acknowledged.filter((callId) => !stored.has(callId)),
          [],
          'everything acknowledged is there',
        )
        t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
      } finally {
        database.close()
      }
    },
  }
}
