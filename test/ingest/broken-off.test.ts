import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

t.test('what was sent at once on a connection that breaks off is not held against anybody after it', async (t) => {
  const trial = await TrialListener.start(t)
  let release = () => {}
  trial.outbox.held = new Promise((resolve) => {
    release = resolve
  })
  // The first is genuine and waits for the outbox, so that none of the answers after it can be written.
  const body = Buffer.from(SAMPLE)
  const headers = { ...trial.signed(body), 'Content-Length': String(body.length) }
  const first = Buffer.concat([Buffer.from(headOf({ path: '/webhooks/ultravox', headers })), body])
  // What strangers say that they are about to send counts against a budget: these use it up but for some hundred bytes.
  const forged = (bytes: number) =>
    headOf({ path: '/webhooks/ultravox', headers: { ...trial.signed('other'), 'Content-Length': String(bytes) } })
  for (const bytes of [...Array<number>(134).fill(1_000_000), 217_000]) {
    const socket = connect(trial.port, '127.0.0.1')
    socket.on('error', () => {})
    const begun = trial.outbox.calls
    socket.write(Buffer.concat([first, Buffer.from(forged(bytes))]))
    await eventually(() => trial.outbox.calls > begun, 'the first is taken')
    socket.resetAndDestroy()
    await once(socket, 'close')
  }
  // A stranger too: nothing genuine has been answered to any address.
  trial.outbox.held = null
  t.equal((await trial.genuine(SAMPLE.padEnd(2_000), { from: '127.0.0.2' })).status, 204)
  release()
  t.same(trial.failures, [])
})
