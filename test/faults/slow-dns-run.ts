/**
 * A program that runs a relay in a network of its own where a name server on 127.0.0.1 is silent and one on 127.0.0.2 works,
 * and prints as JSON what became of the attempts at targets with a name each. The second drops questions for IPv6 addresses
 * where the last argument is 1. The C library waits five seconds for each answer.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

const [HOSTS, EVENTS, PAUSE_MS] = process.argv.slice(2).map(Number) as [number, number, number]
const DROPS_IPV6 = process.argv[5] === '1'
const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) } as unknown as Test

const silent = createSocket('udp4').bind(53, '127.0.0.1')
const working = createSocket('udp4').bind(53, '127.0.0.2')
await Promise.all([once(silent, 'listening'), once(working, 'listening')])
let asked = 0
/** Answers with 127.0.0.1, and that there is no IPv6 address. */
working.on('message', (question, from) => {
  asked++
  const end = question.indexOf(0, 12) + 5
  const isAddress = question.readUInt16BE(end - 4) === 1
  if (DROPS_IPV6 && !isAddress) return
  const answer = Buffer.from(question.subarray(0, end))
  answer.writeUInt16BE(0x8180, 2)
  answer.writeUInt16BE(isAddress ? 1 : 0, 6)
  answer.writeUInt32BE(0, 8)
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1])
  working.send(isAddress ? Buffer.concat([answer, record]) : answer, from.port, from.address)
})
endings.unshift(() => {
  silent.close()
  working.close()
})

let received = 0
const sink = await httpServer(t, (response) => {
  received++
  response.setHeader('connection', 'close').end()
})
const { port } = new URL(sink.origin)
const hosts = Array.from({ length: HOSTS }, (_, n) => `host-${n}`)
const relay = await startRelay(
  t,
  writeConfig(scratch(t), {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: Object.fromEntries(hosts.map((host) => [host, { type: 'http', url: `http://${host}.test:${port}/` }])),
    routes: [{ events: ['*'], to: hosts }],
  }),
)
// Also where this fails.
process.once('exit', () => relay.process.kill('SIGKILL'))
for (let n = 0; n < EVENTS; n++) {
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', `call-${n}`))
  await sleep(PAUSE_MS)
}
await eventually(() => received >= EVENTS * HOSTS, 'all have arrived', 120_000)
const tried = relay.log.filter(({ msg }) => msg === 'delivery attempted')
const failed = tried.filter(({ outcome }) => outcome !== 'delivered')
const endedAt = performance.now()
await relay.end('SIGTERM')
console.log(
  JSON.stringify({
    attempts: tried.length,
    failed: failed.length,
    errors: [...new Set(failed.map(({ error }) => error))],
    opened: relay.log.filter(({ msg }) => /circuit|breaker/.test(String(msg))).length,
    longestAttemptMs: Math.max(...tried.map(({ ms }) => ms as number)),
    questions: asked,
    endMs: performance.now() - endedAt,
  }),
)
for (const end of endings) await end()
process.exit()
