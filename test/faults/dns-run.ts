/**
 * A program that runs a relay beside a name server of its own, in a network of its own where that is port 53 of this machine,
 * and tells as JSON how long events took to a target with a good name while others have names that are never answered.
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

const [SILENT, EVENTS] = process.argv.slice(2).map(Number) as [number, number]
const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) } as unknown as Test

/** Answers A of `good` and `moved`, and that there is no `nowhere`; of all other names it says nothing. */
const names = createSocket('udp4')
let moves = 0
names.on('message', (question, from) => {
  const length = question[12]!
  const name = question.subarray(13, 13 + length).toString()
  const isAddress = question.readUInt16BE(question.indexOf(0, 12) + 1) === 1
  const known = name === 'good' || name === 'moved'
  if (!known && name !== 'nowhere') return
  const end = question.indexOf(0, 12) + 5
  const answer = Buffer.from(question.subarray(0, end))
  answer.writeUInt16BE(known ? 0x8180 : 0x8183, 2)
  answer.writeUInt16BE(known && isAddress ? 1 : 0, 6)
  answer.writeUInt32BE(0, 8)
  const last = name === 'moved' ? (moves++ % 2) + 1 : 1
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last])
  names.send(known && isAddress ? Buffer.concat([answer, record]) : answer, from.port, from.address)
})
names.bind(53, '127.0.0.1')
await once(names, 'listening')
endings.unshift(() => names.close())

const sentAt = new Map<string, number>()
const took: number[] = []
const sink = await httpServer(t, (response, { headers, body }) => {
  response.setHeader('connection', 'close').end()
  const { callId } = JSON.parse(body.toString()).call
  if (headers['x-relay-target'] === 'good') took.push(performance.now() - sentAt.get(callId)!)
})
const port = new URL(sink.origin).port
const target = (host: string) => ({
  type: 'http',
  url: `http://${host}.test:${port}/`,
  timeout: '2s',
  breaker: { failures: 1_000 },
})
const silent = Array.from({ length: SILENT }, (_, n) => `silent-${n}`)
const hosts = ['good', 'moved', 'nowhere', ...silent]
const relay = await startRelay(
  t,
  writeConfig(scratch(t), {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: Object.fromEntries(hosts.map((host) => [host, target(host)])),
    routes: [{ events: ['*'], to: hosts }],
  }),
)
// Also where this fails.
process.once('exit', () => relay.process.kill('SIGKILL'))
for (let n = 0; n < EVENTS; n++) {
  const callId = `call-${n}`
  sentAt.set(callId, performance.now())
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', callId))
  await sleep(50)
}
await eventually(() => took.length >= EVENTS, 'all have arrived at the target with a good name', 60_000)
const tried = relay.log.filter(({ msg }) => msg === 'delivery attempted')
const errors = (name: string) => [
  ...new Set(tried.filter(({ target }) => String(target).startsWith(name)).map(({ error }) => error)),
]
took.sort((a, b) => a - b)
// Attempts may take two seconds to end; the system's look-ups would take ten.
const endsAt = performance.now()
await relay.end('SIGTERM')
const endMs = performance.now() - endsAt
console.log(
  JSON.stringify({
    endMs,
    p50: took[took.length >> 1],
    longest: took.at(-1),
    silent: errors('silent'),
    nowhere: errors('nowhere'),
    attempts: tried.length,
    longestAttemptMs: Math.max(...tried.map(({ ms }) => ms as number)),
  }),
)
for (const end of endings) await end()
