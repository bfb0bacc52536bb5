import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

/** Has the outbox wait until the function that is returned is called. */
function hold({ outbox }: TrialListener): () => void {
  let release = () => {}
  outbox.held = new Promise((resolve) => {
    release = resolve
  })
  return () => release()
}

/** The bytes of a genuine request. */
function genuine(trial: TrialListener): Buffer {
  const body = Buffer.from(SAMPLE)
  const headers = { ...trial.signed(body), 'Content-Length': String(body.length) }
  return Buffer.concat([Buffer.from(headOf({ path: '/webhooks/ultravox', headers })), body])
}

t.test('what was sent at once on a connection that breaks off is not held against anybody after it', async (t) => {
  const trial = await TrialListener.start(t)
  const release = hold(trial)
  // The first is genuine and waits for the outbox, so that none of the answers after it can be written.
  const first = genuine(trial)
  // What strangers have under way counts against a budget: these use up twice as much.
  const forged = headOf({
    path: '/webhooks/ultravox',
    headers: { ...trial.signed('other'), 'Content-Length': '1000000' },
  })
  const rest = Buffer.alloc(900_000, 'x')
  for (let n = 0; n < 150; n += 1) {
    const socket = connect(trial.port, '127.0.0.1')
    socket.on('error', () => {})
    const begun = trial.outbox.calls
    socket.write(Buffer.concat([first, Buffer.from(forged), rest]))
    await eventually(() => trial.outbox.calls > begun && socket.writableLength === 0, 'the first is taken')
    socket.resetAndDestroy()
    await once(socket, 'close')
  }
  // A stranger too: nothing genuine has been answered to any address.
  trial.outbox.held = null
  t.equal((await trial.genuine(SAMPLE.padEnd(900_000), { from: '127.0.0.2' })).status, 204)
  t.equal(trial.answered.filter(({ status }) => status === 503).length, 0)
  release()
  t.same(trial.failures, [])
})

t.test('a request whose sender has gone before its answer has its line, with 499', async (t) => {
  const trial = await TrialListener.start(t)
  const release = hold(trial)
  const socket = connect(trial.port, '127.0.0.1')
  socket.on('error', () => {})
  const called = trial.outbox.nextCall()
  socket.write(genuine(trial))
  await called
  socket.resetAndDestroy()
  const connections = () =>
    new Promise<number>((resolve) => trial.listener.server.getConnections((_, count) => resolve(count)))
  await eventually(async () => (await connections()) === 0, 'the connection is gone')
  release()
  await eventually(() => trial.answered.length === 1, 'its line')
  t.match(trial.answered, [{ status: 499, path: '/webhooks/ultravox', receipt: { kind: 'recorded' } }])
  t.equal(trial.outbox.recorded.length, 1)
  t.same(trial.failures, [])
})
