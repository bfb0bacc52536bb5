import { dirname, join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import type { Row } from './operator-commands.ts'
import { liveThrough, surroundings } from './reconciled-relay.ts'
import { startRelay } from './relay-process.ts'

t.test('a call of which there are only gaps is shown with them', async (t) => {
  const { api, config, json, run } = await surroundings(t, {}, {}, { admin: { listen: '127.0.0.1:0' } })
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.close()
  for (const callId of ['gone-1', 'there']) liveThrough(api, callId)
  api.calls.delete('gone-1')
  await run('backfill --from 1h')
  const gaps = ['call.ended', 'call.joined', 'call.started'].map((event) => ({ event, callId: 'gone-1' }))
  t.match(await json('calls show gone-1'), { callId: 'gone-1', events: [], gaps })
  const shown = await run('calls show gone')
  t.match(shown, { code: 0, stderr: 'gone is call gone-1\n', stdout: /^call gone-1, deliveries: none\n/ })
  t.match(shown.stdout, /\nlost: the call was deleted at Ultravox before these arrived\n/)
  t.match(shown.stdout, /^call\.ended +\d{4}-\S+Z +ultravox$/m)
  t.match(await json('calls show there'), { events: { length: 4 }, gaps: [] })
  t.match(await run('calls show nothing'), { code: 3, stderr: /nothing is known of a call nothing/ })
  t.equal(((await json('events gaps')).gaps as Row[]).length, 3)

  const relay = await startRelay(t, config)
  const { get } = adminClient(adminAddress(relay))
  const answer = await get('/api/calls/gone-1')
  t.match(answer.json(), { callId: 'gone-1', events: [], gaps })
  t.equal((await get('/api/calls/gone')).status, 404)
})
