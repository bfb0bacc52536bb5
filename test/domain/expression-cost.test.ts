import t from 'tap'
import { compile } from '../../src/domain/expression.ts'
import { costOf, isCheap, NO_COST, sumOf } from '../../src/domain/expression-cost.ts'

const cost = (text: string) => costOf(compile(text))

t.test('expressions whose time is linear in the payload are known by their text', async (t) => {
  for (const text of [
    "call.endReason = 'hangup'",
    "call.endReason in ['hangup', 'agent_hangup'] and $not(call.test)",
    'call.billedDuration > 60 ? call.metadata.tier : "none"',
    '$contains(call.shortSummary, "refund")',
    '$contains($lowercase(call.shortSummary), /refund|cancel/i)',
    'call.messages[role = "MESSAGE_ROLE_USER"].text',
    'call.messages[-1].text',
    'call.messages[$contains(text, "refund")]',
    '$count(call.messages[0].tools[name = "x" and $.ok]) > 2',
    '{"id": call.callId, "list": [call.a, -call.b], "text": call.a & "!"}',
    '$.call.metadata.`odd key`',
    '$$.call',
    '(call)',
    'true',
  ]) {
    t.not(cost(text), null, text)
  }
})

t.test('what a payload can make slow or large is not', async (t) => {
  for (const text of [
    '[1..10]',
    '$map(call.list, function($v) { $v })',
    '($x := call; $x)',
    'call.**',
    'call.*',
    '$contains(call.a, call.b)',
    '$contains(call.a, /(\\w+\\s?)+$/)',
    '$contains(call.a, /a*b/)',
    '$contains(call.a, /(a|b)/)',
    '$match(call.a, /x/)',
    '$split(call.a, "x")',
    '$replace(call.a, "x", call.b)',
    '$pad(call.a, 100000)',
    '$eval(call.a)',
    '$toMillis(call.a, call.b)',
    '$now(call.a)',
    '$sort(call.a)',
    '$distinct(call.a)',
    'call.list^(a)',
    'call.list{a: b}',
    'call.list[a = $$.call.b]',
    'call.list.{"a": $$}',
    'call.list@$a.b',
    'call.list#$i.b',
    'call.list.a.%',
    'call ~> |a|{"b": 1}|',
    'call.a ~> $uppercase',
    '$uppercase',
    '$unknown(call)',
    'call.$uppercase(a)',
  ]) {
    t.equal(cost(text), null, text)
  }
})

t.test('a payload is small enough by its values and its characters, and by how often they are read', async (t) => {
  const once = cost('call.list.a')!
  const list = (length: number) => ({ call: { list: Array(length).fill({ a: 1 }) } })
  t.ok(isCheap(once, list(1_000)))
  t.notOk(isCheap(once, list(20_000)))
  t.notOk(isCheap(cost('call.list[a = 1]')!, list(1_000)))
  t.notOk(isCheap(once, { text: 'x'.repeat(300_000) }))
  t.ok(isCheap(cost('$trim(text)')!, { text: 'x'.repeat(100_000) }))
  t.notOk(isCheap(cost('$trim(text) = $trim(text) & $trim(text)')!, { text: 'x'.repeat(100_000) }))
  t.ok(isCheap(NO_COST, list(100_000)), 'no expression at all')
  let deep: unknown = 1
  for (let level = 0; level < 100_000; level++) deep = [deep]
  t.notOk(isCheap(once, deep))
})

t.test('one that is not bounded makes a sum so', async (t) => {
  t.same(
    sumOf([
      { perValue: 1, perCharacter: 2 },
      { perValue: 3, perCharacter: 0 },
    ]),
    { perValue: 4, perCharacter: 2 },
  )
  t.equal(sumOf([NO_COST, null]), null)
  t.same(sumOf([]), NO_COST)
})
