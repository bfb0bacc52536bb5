import t from 'tap'
import { setColor } from '../../src/cli/style.ts'
import { entryLine } from '../../src/cli/tail-line.ts'
import type { AttemptEntry } from '../../src/outbox/operator.ts'

const event = { eventId: 'evt_1', source: 'ultravox', event: 'call.ended', callId: 'call-1' }
const attempt: AttemptEntry = {
  ...event,
  kind: 'attempt',
  at: Date.UTC(2026, 0, 15),
  startedAt: Date.UTC(2026, 0, 15) - 45,
  durationMs: 45,
  deliveryId: 17,
  target: 'crm',
  attempt: 1,
  outcome: 'delivered',
  status: 200,
  error: null,
  note: null,
}

t.test('an attempt is told with its outcome, and a failed one with its number and error', async (t) => {
  const at = '2026-01-15T00:00:00.000Z  attempt  '
  t.equal(entryLine(attempt), `${at}delivered  call.ended call-1 to crm, delivery 17, 45 ms\n`)
  t.equal(
    entryLine({ ...attempt, attempt: 3, outcome: 'failed', error: 'http 503', callId: null }),
    `${at}failed     call.ended to crm, delivery 17, attempt 3, 45 ms: http 503\n`,
  )
  const noted = entryLine({ ...attempt, note: 'killed two' })
  t.equal(noted, `${at}delivered  call.ended call-1 to crm, delivery 17, 45 ms: killed two\n`)
})

t.test('a line stays one line, whatever an error or a call id holds', async (t) => {
  const line = entryLine({ ...attempt, callId: 'a\nb', outcome: 'failed', error: 'x\u001b[2J\r\ny' })
  t.match(line, / a b to crm.*: x \[2J y\n$/)
  t.equal(line.split('\n').length, 2)
})

t.test('an outcome has a colour', async (t) => {
  setColor('on')
  t.teardown(() => setColor('auto'))
  t.match(entryLine(attempt), '\u001b[32mdelivered\u001b[39m')
  t.match(entryLine({ ...attempt, outcome: 'refused', error: 'http 404' }), '\u001b[31mrefused  \u001b[39m')
})
