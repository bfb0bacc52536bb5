import fc from 'fast-check'
import t from 'tap'
import { parsePayload } from '../../src/domain/event.ts'
import { holds } from '../holds.ts'
import { hostileBody } from '../sources/hostile-bodies.ts'
import { SIGNATURE, sign, TIMESTAMP } from '../sources/signed-request.ts'
import { headOf } from './raw-http.ts'
import { SECRET, TrialListener } from './trial-listener.ts'

const OTHER = 'f'.repeat(64)
const casing = fc.constantFrom(
  (name: string) => name,
  (name: string) => name.toUpperCase(),
  (name: string) => name.replace(/(^|-)./g, (letter) => letter.toUpperCase()),
)

/** A body in more and smaller chunks than this is rejected, which is tested elsewhere. */
const MOST_CHUNKS = 8_000

/** One way to send the two headers, and to frame the body. */
const shape = fc.record({
  cased: casing,
  space: fc.constantFrom('', ' ', '\t', '   '),
  company: fc.constantFrom<string[]>([], [OTHER], ['garbage', OTHER]),
  inOne: fc.boolean(),
  last: fc.boolean(),
  timestampFirst: fc.boolean(),
  chunk: fc.constantFrom(0, 0, 1, 4_096),
  contentType: fc.constantFrom(
    null,
    'application/json',
    'text/plain; charset=utf-16',
    'multipart/form-data',
    'nonsense',
  ),
})
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never

function bytesOf(path: string, body: Buffer, timestamp: string, signature: string, as: Shape): Buffer {
  const signatures = as.last ? [...as.company, signature] : [signature, ...as.company]
  const signed: [string, string][] = (as.inOne ? [signatures.join(',')] : signatures).map((value) => [SIGNATURE, value])
  const timed: [string, string] = [TIMESTAMP, timestamp]
  const pairs = as.timestampFirst ? [timed, ...signed] : [...signed, timed]
  const lines = pairs.map(([name, value]) => `${as.cased(name)}:${as.space}${value}${as.space}`)
  if (as.contentType !== null) lines.push(`content-type: ${as.contentType}`)
  lines.push(as.chunk === 0 ? `content-length: ${body.length}` : 'transfer-encoding: chunked')
  const head = Buffer.from([headOf({ path }).trimEnd(), ...lines, '', ''].join('\r\n'), 'latin1')
  if (as.chunk === 0) return Buffer.concat([head, body])
  const chunks: Buffer[] = [head]
  const size = Math.max(as.chunk, Math.ceil(body.length / MOST_CHUNKS))
  for (let at = 0; at < body.length; at += size) {
    const chunk = body.subarray(at, at + size)
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
  }
  return Buffer.concat([...chunks, Buffer.from('0\r\n\r\n')])
}

t.test('a genuine request is taken in whatever shape it comes, byte for byte; an altered one never', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 1_000_000, perMs: 60_000 } })
  const timestamp = new Date(trial.clock.at).toISOString()
  const sent = async (bytes: Buffer) => {
    const connection = await trial.connect()
    connection.write(bytes)
    try {
      return (await connection.answer()).status
    } finally {
      connection.end()
    }
  }
  const refused: Record<string, number> = {}
  const alteration = fc.record({
    place: fc.nat(),
    by: fc.integer({ min: 1, max: 255 }),
    what: fc.constantFrom('body', 'timestamp', 'signature', 'longer', 'shorter'),
  })
  await holds(
    t,
    fc.asyncProperty(hostileBody, shape, alteration, async (body, as, { place, by, what }) => {
      const signature = sign(SECRET, body, timestamp)
      const before = trial.outbox.recorded.length
      if ((await sent(bytesOf('/webhooks/ultravox', body, timestamp, signature, as))) !== 204) return false
      const known = trial.outbox.recorded.length - before
      const event = trial.outbox.recorded.at(-1)!.event
      // The same body may have come up before.
      if (known === 1 && !body.equals(event.body)) return false
      if (known === 1 && event.contentType !== as.contentType) return false

      const at = (length: number) => place % length
      const altered = Buffer.from(body)
      altered[at(body.length)] = (altered[at(body.length)]! + by) % 256
      const hex = '0123456789abcdef'
      const digit = signature[at(64)]!
      const otherDigit = hex[(hex.indexOf(digit) + 1 + (by % 15)) % 16]!
      const otherSignature = signature.slice(0, at(64)) + otherDigit + signature.slice(at(64) + 1)
      const otherTime = new Date(trial.clock.at + 1 + by).toISOString()
      const request = {
        body: () => bytesOf('/webhooks/ultravox', altered, timestamp, signature, as),
        longer: () => bytesOf('/webhooks/ultravox', Buffer.concat([body, Buffer.from(' ')]), timestamp, signature, as),
        shorter: () => bytesOf('/webhooks/ultravox', body.subarray(0, -1), timestamp, signature, as),
        timestamp: () => bytesOf('/webhooks/ultravox', body, otherTime, signature, as),
        signature: () => bytesOf('/webhooks/ultravox', body, timestamp, otherSignature, as),
      }[what]!
      refused[what] = (refused[what] ?? 0) + 1
      return (await sent(request())) === 401 && trial.outbox.recorded.length === before + known
    }),
    60,
    () => `altered: ${JSON.stringify(refused)}`,
  )
  t.same(trial.failures, [])
  t.same(trial.unreadable, [])
})

t.test('what is generated are events', async (t) => {
  const some = fc.sample(hostileBody, { numRuns: 300, seed: 1 })
  t.equal(some.filter((body) => 'problem' in parsePayload(body)).length, 0)
  t.ok(some.some((body) => body.includes('__proto__')) && some.some((body) => body.includes(Buffer.from([0xff]))))
})
