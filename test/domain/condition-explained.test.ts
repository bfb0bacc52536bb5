import t from 'tap'
import { explainCondition } from '../../src/domain/condition-explained.ts'
import { conditionContext } from '../../src/domain/routing.ts'

const received = { event: 'call.ended', call: { endReason: 'hangup', list: [1, 2], 'odd key': 7 } }
const payload = conditionContext(received, { name: 'call.ended', source: 'ultravox' })

t.test('a condition is explained by what it comes to and the fields it mentions, each once', async (t) => {
  t.same(
    await explainCondition(
      "call.endReason != 'unjoined' and (call.endReason = event or $count(call.list) > 1)",
      payload,
    ),
    {
      holds: true,
      value: true,
      error: null,
      fields: [
        { path: 'call.endReason', value: 'hangup' },
        { path: 'event.name', value: 'call.ended' },
        { path: 'call.list', value: [1, 2] },
      ],
    },
  )
  t.match(await explainCondition('call.none', payload), {
    holds: false,
    value: undefined,
    fields: [{ path: 'call.none' }],
  })
  t.match(await explainCondition('call.`odd key`', payload), {
    holds: true,
    value: 7,
    fields: [{ path: 'call.`odd key`', value: 7 }],
  })
})

t.test('what starts somewhere else in the payload is no field of it', async (t) => {
  const paths = async (text: string) => (await explainCondition(text, payload)).fields.map(({ path }) => path)
  t.same(await paths('call.list[$ > 1].x'), ['call.list.x'])
  t.same(await paths('$filter(call.list, function($v) { $v.a })'), ['call.list'])
  t.same(await paths('call.*'), ['call'])
  t.same(await paths('true'), [])
})

t.test('a condition that fails counts as true, and its error quotes no value', async (t) => {
  const failed = await explainCondition('call.endReason > 3', payload)
  t.match(failed, {
    holds: true,
    error: /^> compares a text of 6 characters with the number 3/,
    fields: [{ path: 'call.endReason', value: 'hangup' }],
  })
  t.notMatch(failed.error, 'hangup')
})
