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
