import t from 'tap'
import { logLine } from '../../src/cli/log-line.ts'
import { setColor } from '../../src/cli/style.ts'

const line = (fields: object) =>
  logLine(`${JSON.stringify({ level: 'info', time: '2026-01-15T10:00:00.123Z', ...fields })}\n`)

t.test('time, level, message and fields, quoted where they would run into the next', async (t) => {
  const told = line({ msg: 'request answered', status: 204, targets: ['crm'], error: 'a b', callId: null, path: '/x' })
  t.match(
    told,
    /^\d\d:00:00\.123 INFO {2}request answered {2}status=204 targets=\["crm"\] error="a b" callId=null path=\/x\n$/,
  )
  t.match(line({ level: 'error', msg: 'outbox failed' }), /^\S+ ERROR outbox failed\n$/)
})

t.test('an event and an attempt have one short line each', async (t) => {
  const callId = '3c90c3cc-0d44-4b50-8888-8dd25736052a'
  const event = { source: 'ultravox', requestId: 'r', event: 'call.ended', eventId: 'evt_1', callId, duplicate: false }
  const request = {
    msg: 'request answered',
    ...event,
    method: 'POST',
    path: '/webhooks/ultravox',
    status: 204,
    ms: 3.1,
  }
  const attempt = {
    msg: 'delivery attempted',
    ...event,
    target: 'crm',
    deliveryId: 1,
    attempt: 1,
    ms: 28,
    state: 'pending',
  }
  const failed = { ...attempt, outcome: 'failed', error: 'http 503', status: 503, dueAt: '2026-01-15T10:00:05.000Z' }
  for (const [told, expected] of [
    [line({ ...request, targets: ['crm', 'ops'] }), `→ call.ended ${callId} to crm, ops`],
    [line({ ...request, targets: [] }), `→ call.ended ${callId} to no target`],
    [line({ ...request, targets: [], duplicate: true }), `→ call.ended ${callId} duplicate`],
    [
      line({ ...request, targets: ['crm'], status: 499 }),
      `→ call.ended ${callId} to crm  the sender was gone before the answer`,
    ],
    [line({ ...attempt, outcome: 'delivered', status: 200 }), `← crm 200 in 28ms  call.ended ${callId}`],
    [line({ ...failed, level: 'warn' }), /^\S+ ← crm http 503 in 28ms, next at \d\d:00:05 {2}call\.ended/],
    [
      line({ ...failed, attempt: 4, state: 'dead', dueAt: undefined }),
      `← crm http 503 in 28ms (attempt 4), dead  call.ended ${callId}`,
    ],
  ] as const) {
    if (typeof expected === 'string') t.equal(told.replace(/^\d\d:00:00 /, ''), `${expected}\n`)
    else t.match(told, expected)
  }
  for (const told of [
    line({ ...request, targets: ['crm'] }),
    line({ ...attempt, outcome: 'delivered', status: 200 }),
  ]) {
    t.ok(told.length <= 80, `${told.length} columns`)
  }
  t.notMatch(line({ ...failed, error: 'a\u001b[2J\nb', callId: 'c\u202ed' }).replaceAll('\n', ''), /\p{C}/u)
})

t.test('an error is told with its stack, a line each', async (t) => {
  const told = line({
    level: 'error',
    msg: 'request failed',
    err: { type: 'Error', message: 'm', stack: 'Error: m\n    at x' },
  })
  t.match(told, / ERROR request failed\n {4}Error: m\n {8}at x\n$/)
})

t.test('nothing from outside can steer the terminal, or make a line of its own', async (t) => {
  const evil = '\u001b]0;x\u0007\n\u009b31m\u202ex\u007f'
  for (const told of [line({ msg: 'm', path: evil }), line({ msg: 'm', err: { stack: `Error: ${evil}` } })]) {
    t.notMatch(told.replaceAll('\n', ''), /\p{C}/u)
  }
  t.equal(line({ msg: 'm', path: evil }).split('\n').length, 2)
})

t.test('levels are coloured where colours are wanted', async (t) => {
  t.teardown(() => setColor('auto'))
  setColor('on')
  t.match(line({ level: 'warn', msg: 'm' }), '\u001b[33mWARN \u001b[39m')
  setColor('off')
  t.notMatch(line({ level: 'warn', msg: 'm' }), '\u001b')
})
