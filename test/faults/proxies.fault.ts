import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Agent, request } from 'undici'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { sink } from '../daemon/operator-commands.ts'
import { PROXIES, startProxy } from '../daemon/proxy-process.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET } from '../daemon/ultravox-sender.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED } from '../targets/self-signed.ts'

const AT_ONCE = Number(process.env.AT_ONCE ?? 20)
const ROUNDS = Number(process.env.ROUNDS ?? 20)
/** In the proportion of those that are shipped, but short. */
const RELAY_KEEPS = process.env.RELAY_KEEPS ?? '3s'
const PROXY_KEEPS = process.env.PROXY_KEEPS ?? '1s'

for (const { proxy, skip } of PROXIES) {
  t.test(`behind ${proxy.program} no event is lost to a connection that is being closed`, { skip }, async (t) => {
    const config = {
      server: { listen: '127.0.0.1:0', trustProxy: ['127.0.0.1'], keepAliveTimeout: RELAY_KEEPS },
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { archive: { ...sink, paused: true } },
      routes: [{ events: ['*'], to: ['archive'] }],
    }
    const relay = await startRelay(t, writeConfig(scratch(t), config))
    const port = await startProxy(t, proxy, new URL(relay.origin).port, PROXY_KEEPS)
    const agent = new Agent({ connect: { ca: SELF_SIGNED.cert }, pipelining: 0 })
    t.teardown(() => agent.close())
    const statuses: Record<string, number> = {}
    const send = async () => {
      const body = bodyOf('call.ended')
      const headers = ultravoxHeaders([ultravoxKey(new Secret(SECRET))], body, Date.now())
      const url = `https://localhost:${port}/webhooks/ultravox`
      const answer = await request(url, { method: 'POST', headers, body, dispatcher: agent })
      await answer.body.dump()
      statuses[answer.statusCode] = (statuses[answer.statusCode] ?? 0) + 1
    }
    // Each round comes upon connections that have been idle for about as long as one side or the other keeps them.
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all(Array.from({ length: AT_ONCE }, send))
      await sleep(980 + 4 * round)
    }
    t.comment(
      `${AT_ONCE * ROUNDS} events, relay ${RELAY_KEEPS}, ${proxy.program} ${PROXY_KEEPS}: ${JSON.stringify(statuses)}`,
    )
    t.same(statuses, { 204: AT_ONCE * ROUNDS })
  })
}
