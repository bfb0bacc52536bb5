import t from 'tap'
import { request } from 'undici'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('a wrong secret, a wrong clock and a wrong path are shown with their likely cause', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  const crm = await service(t, true)
  const targets = { crm: crm.target }
  const server = { listen: '127.0.0.1:0', rateLimit: { maxRefused: 1_000 } }
  const file = writeConfig(directory, { sources, server, targets, routes: [{ events: ['*'], to: ['crm'] }] })
  const { origin } = await startRelay(t, file)
  // The first request to an unknown path is on record at once, so the genuine one comes first here.
  t.equal((await send(`${origin}/webhook/ultravox?x=1`, bodyOf('call.ended'))).status, 404)
  for (let path = 0; path < 100; path++) {
    const { statusCode, body } = await request(`${origin}/wp-admin/${path}.php`)
    await body.dump()
    t.equal(statusCode, 404)
  }
  const url = `${origin}/webhooks/ultravox`
  t.equal((await send(url, bodyOf('call.ended'), { secret: 'whsec_another_one' })).status, 401)
  t.equal((await send(url, bodyOf('call.ended'), { signedAt: Date.now() - 3_600_000 })).status, 401)
  t.equal((await request(url)).statusCode, 405)

  const path = /POST \/webhook\/ultravox: 1 request with the headers of Ultravox, last \d+s ago from 127\.0\.0\.1/
  const fix = /register the webhook under \/webhooks\/ultravox/
  await eventually(async () => path.test((await run('status')).stdout), 'the unknown path is on record')
  for (const line of ['status', 'doctor', 'tail']) {
    const { stdout, stderr } = await run(line)
    const shown = stdout + stderr
    for (const part of [
      path,
      fix,
      /1 request in the last hour as signature_mismatch, last \d+s ago from 127\.0\.0\.1/,
      /is not the secret of the webhook/,
      /as timestamp_stale[\s\S]*rejections admit --source ultravox/,
      /as method_not_allowed[\s\S]*sent with POST/,
    ]) {
      t.match(shown, part, line)
    }
    t.notMatch(shown, /wp-admin/, 'scanners are left out')
  }
  t.match(await run('doctor'), { code: 1, stdout: /problem +source ultravox +rejected/ }, 'no event has ever come')
})
