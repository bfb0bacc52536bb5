import fc from 'fast-check'
import t from 'tap'
import { holds } from '../holds.ts'
import { answersIn, mangled } from './mangled.ts'
import { headOf } from './raw-http.ts'
import { OPEN_PATH, SAMPLE, TrialListener } from './trial-listener.ts'

t.test(
  'whatever bytes come, they are answered in HTTP or the connection is closed, and nothing false is taken',
  async (t) => {
    const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 1_000_000, perMs: 60_000 } })
    const signed = trial.signed(SAMPLE)
    const chunked = headOf({ headers: { ...signed, 'Transfer-Encoding': 'chunked' } })
    const requests = [
      headOf({ body: SAMPLE, headers: signed }) + SAMPLE,
      `${chunked}${SAMPLE.length.toString(16)}\r\n${SAMPLE}\r\n0\r\n\r\n`,
      headOf({ path: OPEN_PATH, body: SAMPLE }) + SAMPLE,
      headOf({ method: 'GET', path: '/healthz' }),
    ]
    const statuses: Record<string, number> = {}
    await holds(
      t,
      fc.asyncProperty(mangled(requests), async (text) => {
        const connection = await trial.connect()
        connection.socket.end(Buffer.from(text, 'latin1'))
        await connection.closed
        const { statuses: told, rest } = answersIn(connection.unread)
        connection.end()
        for (const status of told) statuses[status] = (statuses[status] ?? 0) + 1
        if (told.some((status) => status >= 500 || (status >= 300 && status < 400))) return false
        return rest === '' && trial.failures.length === 0
      }),
      150,
      () => JSON.stringify(statuses),
    )
    const false_ = trial.outbox.recorded.filter(
      ({ event }) => event.source === 'ultravox' && Buffer.from(event.body).toString() !== SAMPLE,
    )
    t.same(false_, [], 'what is taken as signed is what was signed')
    t.same(trial.failures, [])
    t.ok(statuses[204]! > 0 && statuses[400]! > 0)
    t.equal((await trial.genuine()).status, 204, 'and a genuine event is taken as ever')
  },
)
