import t from 'tap'
import type { Payload } from '../../src/domain/event.ts'
import { ExpressionError } from '../../src/domain/expression.ts'
import { compileRoute, type RouteSpec, routeEvent } from '../../src/domain/routing.ts'

const ended: Payload = { event: 'call.ended', call: { callId: 'c', endReason: 'hangup', count: 3 } }

async function routed(specs: Partial<RouteSpec>[], payload: Payload = ended, source = 'ultravox') {
  const errors: { route: number; error: unknown }[] = []
  const routes = specs.map((spec) => compileRoute({ events: ['*'], when: null, to: ['crm'], ...spec }))
  const targets = await routeEvent(routes, payload, source, (route, error) => errors.push({ route, error }))
  return { targets, errors }
}

t.test('an event goes to the targets of every route that takes it, in the order of the routes', async (t) => {
  const { targets } = await routed([
    { events: ['call.ended', 'call.billed'], to: ['ops', 'crm'] },
    { events: ['call.started'], to: ['never'] },
    { events: ['*'], to: ['archive'] },
  ])
  t.same(targets, ['ops', 'crm', 'archive'])
})

t.test('a target named by several routes gets an event once, at its first place', async (t) => {
  const { targets } = await routed([{ to: ['b', 'a'] }, { to: ['a', 'c', 'b'] }, { to: ['c', 'c'] }])
  t.same(targets, ['b', 'a', 'c'])
})

t.test('no routes, or none that takes it, means no targets', async (t) => {
  t.same(await routed([]), { targets: [], errors: [] })
  t.same(await routed([{ events: ['call.joined'] }]), { targets: [], errors: [] })
})

t.test('a route without patterns takes nothing', async (t) => {
  t.same((await routed([{ events: [] }])).targets, [])
})

t.test('a condition decides by what JSONata calls true', async (t) => {
  const truths: [string, boolean][] = [
    ["call.endReason = 'hangup'", true],
    ["call.endReason != 'hangup'", false],
    ['call.endReason', true],
    ['call.count', true],
    ['call.count - 3', false],
    ["''", false],
    ['call', true],
    ['call{}', false],
    ['[0, 0]', false],
    ['[0, 1]', true],
    ['null', false],
  ]
  for (const [when, holds] of truths)
    t.same(await routed([{ when }]), { targets: holds ? ['crm'] : [], errors: [] }, when)
})

t.test('a condition over what the payload does not have is false, and no error', async (t) => {
  for (const when of ['call.nothing.here', "call.nothing = 'x'", 'nothing[0].x']) {
    t.same(await routed([{ when }]), { targets: [], errors: [] }, when)
  }
})

t.test('a condition that fails counts as true, and is told with the index of its route', async (t) => {
  const { targets, errors } = await routed([
    { to: ['a'] },
    { when: 'call.endReason > 1', to: ['b'] },
    { when: 'false', to: ['never'] },
    { when: '$error("mine")', to: ['c'] },
    { when: '$nosuchfunction()', to: ['d'] },
  ])
  t.same(targets, ['a', 'b', 'c', 'd'])
  t.same(
    errors.map(({ route }) => route),
    [1, 3, 4],
  )
  t.match(errors[1]?.error, { message: 'mine' })
})

t.test('a condition of a route that does not take the event is not asked', async (t) => {
  const { targets, errors } = await routed([{ events: ['call.billed'], when: '$error("asked")' }])
  t.same(targets, [])
  t.same(errors, [])
})

t.test('a condition is asked once per event, and keeps nothing from one event to the next', async (t) => {
  const route = compileRoute({ events: ['*'], when: "($seen := call.endReason; $seen = 'hangup')", to: ['crm'] })
  const targets = (payload: Payload) => routeEvent([route], payload, 'ultravox', () => t.fail('no error'))
  t.same(await targets(ended), ['crm'])
  t.same(await targets({ event: 'call.ended', call: {} }), [])
  t.same(await Promise.all(Array.from({ length: 50 }, () => targets(ended))), Array(50).fill(['crm']))
})

t.test('a condition can use the whole payload, the event name included', async (t) => {
  t.same((await routed([{ when: "event = 'call.ended' and call.callId = 'c'" }])).targets, ['crm'])
})

t.test('a condition over a deeply nested payload is true at worst, never a crash', async (t) => {
  const depth = 200_000
  const payload = JSON.parse(`{"event":"x","call":${'['.repeat(depth)}${']'.repeat(depth)}}`) as Payload
  t.same((await routed([{ when: "**.callId = 'c'", to: ['a'] }, { to: ['b'] }], payload)).targets.at(-1), 'b')
})

t.test('what is no JSONata is refused when the route is made', async (t) => {
  t.throws(() => compileRoute({ events: ['*'], when: 'call..', to: ['crm'] }), ExpressionError)
})
