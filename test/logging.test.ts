import type { FastifyReply, FastifyRequest } from 'fastify'
import pino from 'pino'
import t from 'tap'
import type { Counts } from '../src/admin/counts.ts'
import { countedLanes } from '../src/counted.ts'
import type { Attempt, Delivery } from '../src/domain/delivery.ts'
import type { RefusalCode } from '../src/domain/errors.ts'
import { adminLog, appLog, laneLog } from '../src/logging.ts'
import { eventually } from './eventually.ts'

const PERIOD_MS = 200
const WARN = 40
const ERROR = 50

type Line = Record<string, unknown> & { level: number; msg: string }

function logger() {
  const lines: Line[] = []
  const log = pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line)) })
  return { log, lines }
}

const REPLY = { statusCode: 401, elapsedTime: 1 } as FastifyReply

function rejected(code: RefusalCode, source: string | null): FastifyRequest {
  return {
    id: 'r',
    method: 'POST',
    url: '/webhooks/ultravox',
    is404: source === null,
    ip: '203.0.113.7',
    relayPeer: { address: '203.0.113.7', network: '203.0.113.7' },
    relaySource: source === null ? null : { name: source },
    relayReceipt: { kind: 'refused', code, message: '', signed: false },
  } as unknown as FastifyRequest
}

t.test(
  'lines that clients can cause are bounded at warn and above, and a line tells how many were left out',
  async (t) => {
    const { log, lines } = logger()
    const requests = appLog(log, PERIOD_MS)
    const admin = adminLog(log, PERIOD_MS)
    const garbage = {
      requestId: 'r',
      status: 400,
      reason: 'request_invalid',
      problem: 'HPE',
      peer: null,
      asked: true,
    } as const
    for (let n = 0; n < 100; n += 1) {
      requests.answered(rejected('signature_mismatch', 'ultravox'), REPLY)
      requests.answered(rejected('not_found', null), REPLY)
      requests.unreadable(garbage)
      requests.failed(new Error('fault'), rejected('not_found', null))
      admin.answered(rejected('not_found', null), REPLY)
      admin.failed(new Error('fault'), rejected('not_found', null))
    }
    requests.answered(rejected('timestamp_stale', 'ultravox'), REPLY)
    const loud = () => lines.filter(({ level }) => level >= WARN)
    t.equal(loud().length, 6 * 30 + 1, 'each kind for itself')
    t.equal(lines.length, 6 * 100 + 1, 'the others at debug')
    await eventually(() => lines.filter(({ msg }) => msg === 'log lines suppressed').length === 6, 'the summaries')
    const summary = { suppressed: 70, periodMs: PERIOD_MS }
    t.match(
      lines.slice(-6).sort((a, b) => String(a.line).localeCompare(String(b.line)) || (a.source ? 1 : -1)),
      [
        { level: ERROR, line: 'admin request failed', ...summary },
        { level: WARN, line: 'admin request refused', ...summary },
        { level: ERROR, line: 'request failed', ...summary },
        { level: WARN, line: 'request refused', reason: 'not_found', ...summary },
        { level: WARN, line: 'request refused', reason: 'signature_mismatch', source: 'ultravox', ...summary },
        { level: WARN, line: 'request unreadable', ...summary },
      ],
    )
    requests.unreadable(garbage)
    t.match(lines.at(-1), { level: WARN, msg: 'request unreadable' }, 'a new period')
  },
)

t.test('headers that are too large are logged with the setting that bounds them', async (t) => {
  const { log, lines } = logger()
  const request = { requestId: 'r', status: 431, problem: 'HPE_HEADER_OVERFLOW' } as const
  appLog(log).unreadable({ ...request, reason: 'headers_too_large', peer: '203.0.113.7', asked: true })
  adminLog(log).unreadable(request)
  const expected = { level: WARN, status: 431, setting: 'server.maxHeaderSize' }
  t.match(lines, [
    { ...expected, msg: 'request unreadable', reason: 'headers_too_large' },
    { ...expected, msg: 'admin request unreadable' },
  ])
})

t.test('an attempt at a delivery that was changed meanwhile is logged with what it came to, and counted', async (t) => {
  const { log, lines } = logger()
  const counted: string[] = []
  const counts = { attempted: (_: Delivery, { outcome }: Attempt) => counted.push(outcome) } as unknown as Counts
  const lanes = countedLanes(laneLog(log), counts)
  const event = { eventId: 'evt_1', event: 'call.ended', callId: 'c', traceparent: null }
  const delivery = { deliveryId: 7, target: 'crm', event } as unknown as Delivery
  const attempt = { attempt: 2, durationMs: 5, outcome: 'delivered', status: 204, error: null, note: null } as Attempt
  for (const settled of ['cancelled', 'retried', 'gone'] as const) lanes.superseded(delivery, attempt, settled)
  const fields = { deliveryId: 7, attempt: 2, outcome: 'delivered', status: 204 }
  t.match(lines, [
    { msg: 'delivery changed during its attempt', settled: 'cancelled', ...fields },
    { msg: 'delivery changed during its attempt', settled: 'retried', ...fields },
    { level: WARN, msg: 'attempt not recorded, delivery no longer on record', ...fields },
  ])
  t.same(counted, ['delivered', 'delivered', 'delivered'])
})
