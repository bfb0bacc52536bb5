import t from 'tap'
import { EvaluationError, evaluatedAt } from '../../src/domain/evaluation-error.ts'
import { eventContext } from '../../src/domain/event-context.ts'
import { compileCondition, compileTemplate, compileValue } from '../../src/domain/expression.ts'
import { conditionContext } from '../../src/domain/routing.ts'

const EVENT = { id: 'evt_1', name: 'call.ended', source: 'ultravox', receivedAt: '2026-01-01T00:00:00.000Z' }

/** As Ultravox reports a call that nobody has joined. */
const UNJOINED = {
  event: 'call.ended',
  call: {
    callId: 'c-1',
    created: '2026-01-01T00:00:00Z',
    joined: null,
    ended: '2026-01-01T00:01:00Z',
    endReason: 'unjoined',
    shortSummary: null,
    summary: null,
    billedDuration: null,
    metadata: { tenant: 'acme' },
    list: [null, { a: null, b: 1 }],
  },
}

function holds(text: string, payload: { event: string } = UNJOINED): Promise<boolean> {
  return compileCondition(text)(conditionContext(payload, { name: payload.event, source: 'ultravox' }))
}

function filled(text: string, nulls: 'absent' | 'kept' = 'absent'): Promise<string> {
  return compileTemplate(text)(eventContext(UNJOINED, EVENT, nulls))
}

t.test('a missing or null operand of != is unequal', async (t) => {
  for (const [text, expected] of Object.entries({
    "call.metadata.environment != 'test'": true,
    "call.summary != 'test'": true,
    "'test' != call.metadata.environment": true,
    'call.none != call.missing': true,
    "call.metadata.tenant != 'acme'": false,
    "call.metadata.tenant != 'other'": true,
    "call.metadata.environment != 'test' and call.endReason = 'unjoined'": true,
    "$not(call.metadata.environment != 'test')": false,
    "(call.metadata.environment != 'test') ? true : false": true,
    '$count(call.list[b != 2]) > 0': true,
    "$exists(call[metadata.environment != 'test'])": true,
    "($different := function($v) { $v != 'test' }; $different(call.metadata.environment))": true,
    "call.metadata.environment = 'test'": false,
  })) {
    t.equal(await holds(text), expected, text)
  }
})

t.test('missing and null are the same to a comparison with null', async (t) => {
  for (const [text, expected] of Object.entries({
    'call.joined = null': true,
    'call.joined != null': false,
    'call.metadata.none = null': true,
    'call.metadata.none != null': false,
    'null != call.metadata.none': false,
    'call.ended != null': true,
    'call.ended = null': false,
  })) {
    t.equal(await holds(text), expected, text)
  }
})

t.test('event is the same in conditions and templates: its name, with fields', async (t) => {
  for (const text of [
    "event = 'call.ended'",
    "event.name = 'call.ended'",
    "$$.event = 'call.ended'",
    "event in ['call.started', 'call.ended']",
    "$uppercase(event) = 'CALL.ENDED'",
    "event.$uppercase($) = 'CALL.ENDED'",
    "(event ~> $contains('ended'))",
    "event.source = 'ultravox'",
    "payload.event = 'call.ended'",
    "$count(call.list[$$.event = 'call.ended']) = 2",
  ]) {
    t.equal(await holds(text), true, text)
    if (!text.includes('list'))
      t.equal(await compileValue(`{{${text}}}`)(eventContext(UNJOINED, EVENT, 'absent')), true, text)
  }
  t.equal(await filled('{{event}} {{event.id}} {{event.receivedAt}}'), `call.ended evt_1 ${EVENT.receivedAt}`)
  t.equal(
    await holds("$count(items[event = 'x']) = 1", { event: 'e', items: [{ event: 'x' }, { event: 'y' }] } as never),
    true,
  )
})

t.test('the usual templates work for a call that nobody has joined', async (t) => {
  for (const [text, expected] of Object.entries({
    "{{$substringBefore(call.shortSummary, '.')}}": '',
    '{{$uppercase(call.shortSummary)}}': '',
    '{{$fromMillis($toMillis(call.joined))}}': '',
    "{{call.callId & ' ' & call.shortSummary}}": 'c-1 ',
    '{{$number($substringBefore(call.billedDuration, "s"))}}': '',
    '{{$round($number(call.billedMinutes))}}': '',
    "{{$join([call.callId, call.shortSummary], ', ')}}": 'c-1',
    '{{$length(call.summary)}}': '',
    "{{call.joined ? 'joined' : 'never joined'}}": 'never joined',
    "{{call.shortSummary ?: 'no summary'}}": 'no summary',
    '{{call.joined}}': '',
    '{{call.list}}': '[null,{"b":1}]',
    '{{$string(payload.call.joined)}}': 'null',
  })) {
    t.equal(await filled(text), expected, text)
  }
  t.equal(await filled('{{$string(call.joined)}}', 'kept'), 'null')
  await t.rejects(filled('{{$uppercase(call.shortSummary)}}', 'kept'), /argument 1 of \$uppercase is null/)
})

t.test('an error of a template names the place, the expression, the value and a form that works', async (t) => {
  const problem = async (text: string) => {
    const evaluation = evaluatedAt('body.customer.name', compileTemplate(text)(eventContext(UNJOINED, EVENT, 'kept')))
    const error = await evaluation.then(
      () => null,
      (error: unknown) => error,
    )
    t.ok(error instanceof EvaluationError, text)
    return (error as Error).message
  }
  for (const [expression, message] of Object.entries({
    "$substringBefore(call.summary, '.')":
      "argument 1 of $substringBefore is null; give it a default, as in $substringBefore(x ?: '')",
    '$uppercase($count(call.list))':
      'argument 1 of $uppercase is the number 2; convert it, as in $uppercase($string(x))',
    '$length(call.metadata)': 'argument 1 of $length is an object with 1 fields; choose one of its fields',
    '$uppercase(call.list)': 'argument 1 of $uppercase is a list of 2; choose one with x[0]',
    "call.callId.contains('c')": 'JSONata has no method .contains(); write $contains(…)',
    '$upper(call.callId)': '$upper is not a function',
    'call.callId + 1': 'one side of + is a text of 3 characters, not a number; JSONata joins texts with &',
    'call.joined > 1': 'one side of > is null; write $exists(x) and x > y',
    'call.callId > 1': '> compares a text of 3 characters with the number 1; convert one',
    '$number(call.callId)': 'a text of 3 characters cannot be converted to a number',
  })) {
    const text = await problem(`{{ ${expression} }}`)
    t.ok(text.startsWith(`body.customer.name: "${expression}" fails: ${message}`), text)
    t.notMatch(text, 'c-1', 'no value from the call')
  }
})
