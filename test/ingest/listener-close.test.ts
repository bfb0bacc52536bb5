import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { headOf } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

t.test('close lets a request that waits for the disk end with 204, and then closes its connection', async (t) => {
  const trial = await TrialListener.start(t)
  const release = trial.hold()
  const begun = trial.outbox.nextCall()
  const connection = await trial.connect()
  connection.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE)
  await begun
  let closed = false
  const closing = trial.listener.close().then(() => {
    closed = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(closed)
  release()
  t.match(await connection.answer(), { status: 204, headers: { connection: 'close' } })
  await closing
  t.equal(trial.outbox.recorded.length, 1)
  await connection.closed
})

t.test('close lets a request whose body is still coming end with 204', async (t) => {
  const trial = await TrialListener.start(t)
  const connection = await trial.connect()
  const heard = once(trial.listener.server, 'request')
  connection.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE.slice(0, 10))
  await heard
  const closing = trial.listener.close()
  await new Promise((resolve) => setImmediate(resolve))
  connection.write(SAMPLE.slice(10))
  t.match(await connection.answer(), { status: 204, headers: { connection: 'close' } })
  await closing
  t.equal(trial.outbox.recorded.length, 1)
})

t.test('close closes idle connections, and does not wait for their keep-alive to run out', async (t) => {
  const trial = await TrialListener.start(t)
  const used = await trial.connect()
  used.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE)
  t.match(await used.answer(), { status: 204, headers: { connection: 'keep-alive' } })
  const startedAt = performance.now()
  await trial.listener.close()
  await used.closed
  t.ok(performance.now() - startedAt < 9_000, 'keep-alive would last 10 s')
})

t.test('a request that is on its way on an idle connection when it closes is answered', async (t) => {
  const trial = await TrialListener.start(t)
  const used = await trial.connect()
  const ask = () => used.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE)
  ask()
  t.match(await used.answer(), { status: 204, headers: { connection: 'keep-alive' } })
  const closing = trial.listener.close()
  ask()
  t.match(await used.answer(), { status: 204, headers: { connection: 'close' } })
  await closing
})

t.test('close closes a connection on which nothing was ever asked', async (t) => {
  const trial = await TrialListener.start(t)
  const accepted = once(trial.listener.server, 'connection')
  const unused = await trial.connect()
  await accepted
  const startedAt = performance.now()
  await trial.listener.close()
  await unused.closed
  t.ok(performance.now() - startedAt < 9_000, 'it would be waited for 10 s')
})

t.test('close does not wait for ever for a request that does not come whole', async (t) => {
  const trial = await TrialListener.start(t)
  const slowHeaders = await trial.connect()
  slowHeaders.write('POST /webhooks/ultravox HTTP/1.1\r\nHost: relay.test\r\nX-Slow: ')
  const slowBody = await trial.connect()
  const heard = once(trial.listener.server, 'request')
  slowBody.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE.slice(0, 10))
  await heard
  // One that waits for the disk longer than the others are waited for must not be cut with them.
  const release = trial.hold()
  const begun = trial.outbox.nextCall()
  const whole = await trial.connect()
  whole.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE)
  await begun
  const closing = trial.listener.close()
  await Promise.all([slowHeaders.closed, slowBody.closed])
  release()
  t.equal((await whole.answer()).status, 204)
  await closing
  t.same(trial.failures, [])
  t.equal(trial.outbox.recorded.length, 1)
})

t.test('once closed, nothing is listened on', async (t) => {
  const trial = await TrialListener.start(t)
  await trial.listener.close()
  const socket = connect(trial.port, '127.0.0.1')
  const [error] = await once(socket, 'error')
  t.match(error, { code: 'ECONNREFUSED' })
})

t.test('headers have 10 s and a whole request 20 s to come', async (t) => {
  const trial = await TrialListener.start(t)
  t.equal(trial.listener.server.headersTimeout, 10_000)
  t.equal(trial.listener.server.requestTimeout, 20_000)
  t.equal(trial.listener.server.keepAliveTimeout, 10_000)
})

t.test('slow headers and slow bodies are cut soon after their time, with 408', async (t) => {
  const trial = await TrialListener.start(t)
  // The same as by default, but sooner; how soon it is noticed is the listener's own setting, and 30 s without it.
  trial.listener.server.headersTimeout = 100
  trial.listener.server.requestTimeout = 100
  const startedAt = performance.now()
  const slowHeaders = await trial.connect()
  slowHeaders.write('POST /webhooks/ultravox HTTP/1.1\r\nHost: relay.test\r\nX-Slow: ')
  const slowBody = await trial.connect()
  slowBody.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE.slice(0, 10))
  for (const connection of [slowHeaders, slowBody]) {
    t.equal((await connection.answer()).status, 408)
    await connection.closed
  }
  t.ok(performance.now() - startedAt < 20_000)
  t.same(trial.outbox.recorded, [])
  t.same(trial.failures, [])
})
