import t from 'tap'
import { callIdOf, parsePayload } from '../../src/domain/event.ts'
import {
  boundedCondition,
  boundedTemplate,
  NotEvaluated,
  Overrun,
  PayloadError,
  readPayload,
  TaskError,
} from '../../src/expressions/bounded.ts'
import { problemOutcome } from '../../src/targets/template-outcome.ts'
import { childrenOf } from '../children.ts'

const SUMMARY = 'The caller moved an appointment to Thursday at ten.'
const payloadOf = (call: object) => {
  const parsed = parsePayload(Buffer.from(JSON.stringify({ event: 'call.ended', call })))
  if ('problem' in parsed) throw new Error(parsed.problem)
  return parsed.payload
}
const payload = payloadOf({ callId: 'c', shortSummary: SUMMARY })
const view = { id: 'evt_1', name: 'call.ended', source: 's', receivedAt: '2026-01-01T00:00:00.000Z' }

/** How often other work has its turn until something is over. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0
  const timer = setInterval(() => turns++, 5)
  await work.catch(() => {})
  clearInterval(timer)
  return turns
}

t.test('a condition without bounds is ended, and everything else goes on meanwhile', async (t) => {
  for (const text of [
    '$match(call.shortSummary, /^(\\w+\\s?)+$/)',
    '($f := function($n) { 1 + $f($n + 1) }; $f(0))',
    '$toMillis($pad("", 60, "1"), "[f1][f1][f1][f1][f1][f1]x")',
  ]) {
    const evaluated = boundedCondition(text)(payloadOf({ shortSummary: SUMMARY }))
    const turns = turnsDuring(evaluated)
    await t.rejects(evaluated, { message: 'it took more than 250 ms' }, text)
    t.ok((await turns) > 10, `${text}: the event loop turned`)
  }
})

t.test('an expression that takes all memory ends neither the relay nor what waits behind it', async (t) => {
  const doubled =
    '($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $uppercase($f("xxxxxxxxxxxxxxxx", 24)) = "")'
  const evaluated = boundedCondition(doubled)(payload)
  const behind = boundedCondition('$count([1..3]) = 3')(payload)
  await t.rejects(evaluated, { message: /^it took (more than|too much)/ })
  t.equal(await behind, true)
})

t.test('a process that is killed is started again, and loses no task', async (t) => {
  const condition = boundedCondition('$count([1..3]) = 3')
  t.equal(await condition(payload), true)
  const [pid] = childrenOf(process.pid)
  process.kill(pid!, 'SIGKILL')
  t.equal(await condition(payloadOf({ callId: 'another' })), true)
  t.not(childrenOf(process.pid)[0], pid)
})

t.test('only what may succeed later is tried again', async (t) => {
  t.match(problemOutcome(new NotEvaluated('no process')), {
    kind: 'failed',
    error: 'template: no process',
    unsent: true,
  })
  t.match(problemOutcome(new Overrun('too long')), { kind: 'refused', error: 'template: too long' })
  t.match(problemOutcome(new PayloadError('not JSON')), { kind: 'refused', error: 'payload: not JSON' })
  t.throws(() => problemOutcome(new RangeError('a bug')), { message: 'a bug' })
})

t.test('conditions that are each within their bound are bounded together on one payload', async (t) => {
  const slow = '$sum([1..100000].($ * 2)) > 0'
  const one = payloadOf({ callId: 'one' })
  const outcomes: string[] = []
  for (let index = 0; index < 20; index++) {
    outcomes.push(
      await boundedCondition(`${slow} and ${index} >= 0`)(one).then(String, (error: Error) => error.message),
    )
  }
  t.match(outcomes.at(-1), /^the conditions on this event took more than 500 ms$/)
  t.equal(await boundedCondition('$count([1..3]) = 3')(payloadOf({ callId: 'another' })), true)
})

t.test('a condition that overruns again and again is left out for a while', async (t) => {
  const condition = boundedCondition('$contains(call.shortSummary, /^(\\w+\\s?)+$/)')
  const overrun = () => t.rejects(condition(payloadOf({ shortSummary: SUMMARY })), { message: /^it took more than/ })
  await overrun()
  t.equal(await condition(payloadOf({ shortSummary: 'fine' })), true, 'one that ends breaks the row')
  await overrun()
  await overrun()
  await overrun()
  await t.rejects(condition(payloadOf({ shortSummary: 'fine' })), { message: /is not evaluated for 10 s/ })
})

t.test('what JSONata itself rejects is an error of the expression, without the value', async (t) => {
  for (const text of [
    'call.shortSummary > 3',
    '$sum([call.shortSummary])',
    '$count([1..2]) = 2 and call.shortSummary > 3',
  ]) {
    const error = await boundedCondition(text)(payload).catch((error: unknown) => error)
    t.ok(error instanceof TaskError, text)
    t.notMatch((error as Error).message, 'Thursday')
  }
})

t.test('templates give the same in the process as here', async (t) => {
  const body = Buffer.from(JSON.stringify(payload))
  const blocks = [
    { type: 'section', text: { type: 'mrkdwn', text: '<{{call.shortSummary}}>' }, url: '{{call.callId}}&' },
  ]
  const fill = async (expression: string) => [
    await boundedTemplate<'message'>({ kind: 'message', text: `{{${expression}}} & so`, blocks, nulls: 'absent' })(
      body,
      view,
    ),
    await boundedTemplate<'content'>({
      kind: 'content',
      content: {
        redact: [
          ['call', 'shortSummary'],
          ['call', 'none'],
        ],
        headers: [['X-A', `{{${expression}}}`]],
        body: {
          a: `{{${expression}}}`,
          none: '{{call.none}}',
          event: '{{event}}',
          id: '{{event.id}}',
          call: '{{call}}',
        },
        isJson: true,
        nulls: 'absent',
      },
    })(body, view),
  ]
  const [message, content] = await fill('call.callId')
  t.same(await fill('$join([call.callId])'), [message, content])
  t.match(message, {
    text: 'c & so',
    blocks: JSON.stringify([{ ...blocks[0], text: { type: 'mrkdwn', text: `<${SUMMARY}>` }, url: 'c&' }]),
  })
  t.same(content, {
    headers: [['X-A', 'c']],
    matched: [true, false],
    body: JSON.stringify({ a: 'c', event: 'call.ended', id: 'evt_1', call: { callId: 'c' } }),
  })
})

t.test('a template that comes to more than can be sent is an error', async (t) => {
  const twice = '($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $f("xxxxxxxxxxxxxxxx", 20))'
  const content = { redact: [], headers: [], body: `{{${twice}}}`, isJson: false, nulls: 'absent' } as const
  const fill = boundedTemplate<'content'>({ kind: 'content', content })
  await t.rejects(fill(Buffer.from(JSON.stringify(payload)), view), {
    message: /^it (comes to more than 16 MB|took more than 250 ms)$/,
  })
})

t.test('a large body is read elsewhere, and its conditions see all of it', async (t) => {
  const call = { callId: 'c-large', list: Array(40_000).fill({ a: 1 }), last: 'x' }
  const body = Buffer.from(JSON.stringify({ event: 'call.ended', call }))
  const reading = readPayload(body)
  t.ok((await turnsDuring(reading)) >= 1)
  const read = await reading
  if ('problem' in read) throw new Error(read.problem)
  t.same([read.payload.event, callIdOf(read.payload)], ['call.ended', 'c-large'])
  t.equal(await boundedCondition('call.last = "x" and $count(call.list) = 40000')(read.payload), true)
  const broken = Buffer.concat([body, Buffer.from('}')])
  t.same(await readPayload(broken), { problem: 'the body is not JSON' })
  t.same(await readPayload(Buffer.from(`{"a":"${'x'.repeat(200_000)}"}`)), {
    problem: 'the body has no string "event"',
  })
})

t.test('a body that fills most of the memory leaves the next one as much', async (t) => {
  const lists = 2_400_000
  for (const callId of ['c-1', 'c-2']) {
    const body = `{"event":"call.ended","call":{"callId":"${callId}","list":${'['.repeat(lists)}${']'.repeat(lists)}}}`
    const read = await readPayload(Buffer.from(body))
    t.equal('payload' in read && callIdOf(read.payload), callId)
  }
})

t.test('cheap expressions that are begun together leave turns to others', async (t) => {
  const large = payloadOf({ list: Array(600).fill({ a: 1 }) })
  const conditions = Array.from({ length: 300 }, (_, index) => boundedCondition(`call.list[a = ${index}].a = 0`))
  const all = Promise.all(conditions.map((condition) => condition(large)))
  t.ok((await turnsDuring(all)) > 3)
  t.same(new Set(await all), new Set([false]))
})

t.test('redacting any key of many values leaves turns to others', async (t) => {
  const call = { messages: Array.from({ length: 9_000 }, () => ({ t: 1 })) }
  const body = Buffer.from(JSON.stringify({ event: 'call.ended', call }))
  const content = { redact: [['call', 'messages', '*', 't']], headers: [], isJson: true, nulls: 'absent' } as const
  const filled = boundedTemplate<'content'>({ kind: 'content', content })(body, view)
  t.ok((await turnsDuring(filled)) > 0)
  t.notMatch(Buffer.from((await filled).body as Uint8Array).toString(), '"t"')
})

t.test('a body nested a million deep is read, and every template and condition is evaluated on it', async (t) => {
  const lists = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`
  const body = Buffer.from(`{"event":"call.ended","call":{"callId":"c","metadata":${lists}}}`)
  const read = await readPayload(body)
  if ('problem' in read) return t.fail(read.problem)
  t.equal(callIdOf(read.payload), 'c')
  for (const condition of ['$count(**) > 3', 'call.callId = "c"', '$exists(call.metadata)']) {
    t.equal(await boundedCondition(condition)(read.payload), true, condition)
  }
  for (const template of ['{{ call.callId }}', '{{ payload }}', '{{ $string(payload) }}', '{{ payload.** }}']) {
    const fill = boundedTemplate({
      kind: 'content',
      content: { redact: [['call', 'secret']], headers: [], body: { template }, isJson: true, nulls: 'absent' },
    })
    t.type((await fill(body, view)).body, 'string', template)
  }
})
