import t, { type Test } from 'tap'
import { eventually } from '../eventually.ts'
import { headOf, type RawConnection } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

const MB = 1024 * 1024
const LIMITS = { bodyLimitBytes: 5 * MB }
const PIECE = Buffer.alloc(MB, 'x')

/** A genuine event of that size. */
const eventOf = (bytes: number, callId = 'c-1') => SAMPLE.replace('c-1', callId).padEnd(bytes)

/** Begins a request that looks signed, as `head` says, and sends so much of its body. */
async function unfinished(t: Test, trial: TrialListener, from: string, head: Record<string, string>, bytes: number) {
  const connection = await trial.connect(from)
  t.teardown(() => connection.end())
  connection.write(headOf({ headers: { ...trial.signed('other'), ...head } }))
  for (let sent = 0; sent < bytes; sent += MB) connection.write(PIECE.subarray(0, Math.min(MB, bytes - sent)))
  return connection
}

const announced = (bytes: number) => ({ 'Content-Length': String(bytes) })
const evicted = (trial: TrialListener) => trial.answered.filter(({ status }) => status === 503).length

async function received(connections: readonly RawConnection[]): Promise<void> {
  await eventually(
    () => connections.every(({ socket }) => socket.writableLength === 0 || socket.destroyed),
    'all is sent',
  )
}

t.test('what strangers announce and do not send is in the way of nobody', async (t) => {
  const trial = await TrialListener.start(t, LIMITS)
  for (let n = 0; n < 60; n += 1) await unfinished(t, trial, '127.0.0.2', announced(5 * MB), 1)
  t.equal((await trial.genuine(eventOf(3_000))).status, 204)
  t.equal((await trial.genuine(eventOf(4 * MB, 'large'), { from: '127.0.0.3' })).status, 204)
  t.equal(evicted(trial), 0)
})

t.test(
  'a client that fills its share with unfinished bodies is told to come back, and all others are taken',
  async (t) => {
    const trial = await TrialListener.start(t, LIMITS)
    const attack: RawConnection[] = []
    for (let n = 0; n < 12; n += 1) attack.push(await unfinished(t, trial, '127.0.0.2', announced(5 * MB), 4 * MB))
    await received(attack)
    await eventually(() => evicted(trial) >= 4, 'all but 32 MB are evicted')
    const told = await Promise.any(attack.map((connection) => connection.answer()))
    t.match(told, { status: 503, headers: { connection: 'close', 'retry-after': '10' }, body: /"overloaded"/ })
    for (const from of ['127.0.0.1', '127.0.0.2']) {
      t.equal((await trial.genuine(eventOf(3_000, `small ${from}`), { from })).status, 204, `small from ${from}`)
      t.equal((await trial.genuine(eventOf(4 * MB, `large ${from}`), { from })).status, 204, `large from ${from}`)
    }
  },
)

t.test('many clients that fill all there is with unfinished bodies keep no large event out', async (t) => {
  const trial = await TrialListener.start(t, LIMITS)
  const attack: RawConnection[] = []
  for (let n = 0; n < 40; n += 1) attack.push(await unfinished(t, trial, `127.0.1.${n}`, announced(5 * MB), 4 * MB))
  await received(attack)
  t.equal((await trial.genuine(eventOf(4 * MB))).status, 204)
  await eventually(() => evicted(trial) >= 8, 'all but 128 MB are evicted')
})

t.test('bodies in chunks are bounded alike, and clients in one /64 of IPv6 share', async (t) => {
  const trial = await TrialListener.start(t, { ...LIMITS, trustProxy: ['127.0.0.9'] })
  const attack: RawConnection[] = []
  for (let n = 0; n < 12; n += 1) {
    const head = { 'X-Forwarded-For': `2001:db8::${n}`, 'Transfer-Encoding': 'chunked' }
    const connection = await unfinished(t, trial, '127.0.0.9', head, 0)
    for (let piece = 0; piece < 4; piece += 1) {
      connection.write(`${MB.toString(16)}\r\n`)
      connection.write(PIECE)
      connection.write('\r\n')
    }
    attack.push(connection)
  }
  await received(attack)
  await eventually(() => evicted(trial) >= 4, 'all but 32 MB are evicted')
  const headers = { ...trial.signed(eventOf(4 * MB)), 'X-Forwarded-For': '2001:db8:0:1::1' }
  t.equal((await trial.genuine(eventOf(4 * MB), { from: '127.0.0.9', headers })).status, 204, 'through the same proxy')
})

t.test('a trusted peer may have more unfinished bodies, but not any number', async (t) => {
  const trial = await TrialListener.start(t, LIMITS)
  t.equal((await trial.genuine()).status, 204)
  const attack: RawConnection[] = []
  for (let n = 0; n < 40; n += 1) attack.push(await unfinished(t, trial, '127.0.0.1', announced(5 * MB), 4 * MB))
  await received(attack)
  await eventually(() => evicted(trial) >= 16, 'all but 96 MB are evicted')
  t.equal((await trial.genuine(eventOf(4 * MB, 'large'))).status, 204)
})

t.test('a request that is reset right after it was sent is no failure, and its client is known', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 10, perMs: 60_000 } })
  for (let n = 0; n < 200; n += 1) {
    const connection = await trial.connect('127.0.0.2')
    connection.socket.write(headOf({ body: SAMPLE }) + SAMPLE, () => connection.socket.resetAndDestroy())
    connection.socket.resetAndDestroy()
  }
  await eventually(
    () => trial.answered.some(({ peer }) => peer === '127.0.0.2') || trial.unreadable.length > 0,
    'some came',
  )
  await trial.otherTraffic()
  t.same(trial.failures, [])
  t.ok(trial.answered.every(({ peer }) => peer.startsWith('127.0.0.')))
  t.ok(trial.outbox.rejections.every(({ peer }) => peer === '127.0.0.2'))
  t.equal((await trial.genuine()).status, 204)
})

t.test('a body in very many very small chunks is refused, and what comes after it is not read', async (t) => {
  const trial = await TrialListener.start(t, LIMITS)
  for (const headers of [trial.signed('other'), {}]) {
    const connection = await trial.connect('127.0.0.2')
    t.teardown(() => connection.end())
    connection.write(headOf({ headers: { ...headers, 'Transfer-Encoding': 'chunked' } }))
    connection.write('1\r\nx\r\n'.repeat(100_000))
    await connection.closed
  }
  t.match(trial.answered, [{ receipt: { code: 'request_invalid' } }, { receipt: { code: 'signature_missing' } }])
  t.match(trial.outbox.rejections, [{ reason: 'request_invalid' }, { reason: 'signature_missing' }])
  const body = eventOf(60_000)
  const connection = await trial.connect()
  t.teardown(() => connection.end())
  connection.write(headOf({ headers: { ...trial.signed(body), 'Transfer-Encoding': 'chunked' } }))
  for (let at = 0; at < body.length; at += 40) connection.write(`28\r\n${body.slice(at, at + 40)}\r\n`)
  connection.write('0\r\n\r\n')
  t.equal((await connection.answer()).status, 204, 'fairly small ones are taken')
})

t.test('a genuine event of a few KB is accepted though it comes byte by byte', async (t) => {
  const trial = await TrialListener.start(t, LIMITS)
  const body = eventOf(6_000).toString()
  const connection = await trial.connect()
  connection.write(headOf({ headers: { ...trial.signed(body), 'Transfer-Encoding': 'chunked' } }))
  connection.write(`${[...body].map((byte) => `1\r\n${byte}\r\n`).join('')}0\r\n\r\n`)
  t.equal((await connection.answer()).status, 204)
})
