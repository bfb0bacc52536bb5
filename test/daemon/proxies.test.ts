import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import { serverSchema } from '../../src/config/schema/server-schema.ts'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { listening } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED } from '../targets/self-signed.ts'
import { sink, sources } from './operator-commands.ts'
import { PROXIES, SHIPPED_KEEPALIVE, startProxy } from './proxy-process.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { SECRET } from './ultravox-sender.ts'

/** The address that the client of these tests comes from, told from the proxy's. */
const CLIENT = '127.0.0.77'

for (const { proxy, skip } of PROXIES) {
  t.test(`behind ${proxy.program} events come in byte for byte, and their senders are known`, { skip }, async (t) => {
    const directory = scratch(t)
    const server = { listen: '127.0.0.1:0', trustProxy: ['127.0.0.1'] }
    const rest = { targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }
    const relay = await startRelay(t, writeConfig(directory, { sources, server, ...rest }))
    const port = await startProxy(t, proxy, new URL(relay.origin).port)

    const agent = new Agent({ connect: { ca: SELF_SIGNED.cert }, localAddress: CLIENT, pipelining: 0 })
    t.teardown(() => agent.close())
    const send = async (body: Buffer, secret: string) => {
      const signature = ultravoxHeaders([ultravoxKey(new Secret(secret))], body, Date.now())
      const answer = await request(`https://localhost:${port}/webhooks/ultravox`, {
        method: 'POST',
        // What a client claims is not believed.
        headers: ['content-type', 'application/json', 'x-forwarded-for', '8.8.8.8', ...signature],
        body,
        dispatcher: agent,
      })
      await answer.body.dump()
      return answer.statusCode
    }
    const filler = randomBytes(1_500_000).toString('base64')
    const body = Buffer.from(`{ "event":"call.ended",  "call": {"callId":"big", "n": 1.0, "filler":"${filler}"} }`)
    t.equal(await send(body, SECRET), 204)
    t.equal(await send(body, 'another'), 401)
    const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
    t.teardown(() => database.close())
    t.ok(body.equals(database.prepare('select body from event_bodies').pluck().get() as Buffer), 'byte for byte')
    const peerOfRefused = database.prepare('select peer from rejections').pluck()
    await eventually(() => peerOfRefused.get() !== undefined, 'the refusal, for whose record no answer waits')
    t.equal(peerOfRefused.get(), CLIENT)
  })

  t.test(
    `${proxy.program} uses its connection to the relay again, and closes it before the relay would`,
    { skip },
    async (t) => {
      const connections = { opened: 0, closed: 0 }
      const server = createServer((request, response) =>
        request.resume().on('end', () => response.writeHead(204).end()),
      )
      server.keepAliveTimeout = 3_600_000
      server.on('connection', (socket) => {
        connections.opened += 1
        socket.once('close', () => {
          connections.closed += 1
        })
      })
      const { port: relayPort } = await listening(t, server)
      const port = await startProxy(t, proxy, String(relayPort), '1s')
      const agent = new Agent({ connect: { ca: SELF_SIGNED.cert } })
      t.teardown(() => agent.close())
      for (let n = 0; n < 5; n += 1) {
        const url = `https://localhost:${port}/webhooks/ultravox`
        const { statusCode, body } = await request(url, { method: 'POST', body: '{}', dispatcher: agent })
        await body.dump()
        t.equal(statusCode, 204)
      }
      t.same(connections, { opened: 1, closed: 0 })
      await eventually(() => connections.closed === 1, 'the proxy closes it')
    },
  )
}

t.test(
  'the relay keeps idle connections for longer than the shipped proxies, and than others usually do',
  async (t) => {
    const { keepAliveTimeout } = serverSchema.parse({})
    const shipped = Number.parseInt(SHIPPED_KEEPALIVE, 10) * 1000
    for (const [file, line] of [
      ['nginx.conf', `keepalive_timeout ${SHIPPED_KEEPALIVE};`],
      ['Caddyfile', `keepalive ${SHIPPED_KEEPALIVE}`],
    ] as const) {
      t.match(readFileSync(`config/proxies/${file}`, 'utf8'), line)
    }
    t.ok(keepAliveTimeout > shipped)
    t.ok(keepAliveTimeout > 15 * 60_000, 'the longest of those that are known')
  },
)
