import fc from 'fast-check'
import t from 'tap'
import { parsePayload } from '../../src/domain/event.ts'
import { LIFECYCLE_EVENTS } from '../../src/domain/sample-event.ts'
import { type CallProgress, eventBody, lifecycleOf } from '../../src/ultravox/lifecycle.ts'

const T = Date.UTC(2026, 0, 15, 12)
const FRESH: CallProgress = { created: T, joined: null, ended: null, billingStatus: 'BILLING_STATUS_PENDING' }
const eventsOf = (call: CallProgress) => lifecycleOf(call).map(({ event }) => event)

t.test('a call has had what can be read off it, with when', async (t) => {
  t.same(lifecycleOf(FRESH), [{ event: 'call.started', at: T }])
  t.same(lifecycleOf({ created: T, joined: T + 1, ended: T + 2, billingStatus: 'BILLING_STATUS_BILLED' }), [
    { event: 'call.started', at: T },
    { event: 'call.joined', at: T + 1 },
    { event: 'call.ended', at: T + 2 },
    { event: 'call.billed', at: null },
  ])
})

t.test('a call that nobody joined has ended and not been joined', async (t) => {
  t.same(eventsOf({ ...FRESH, ended: T + 1 }), ['call.started', 'call.ended'])
})

t.test('a call is billed once its status is neither pending nor unspecified, if it was free too', async (t) => {
  const billed = (billingStatus: string) => eventsOf({ ...FRESH, billingStatus }).includes('call.billed')
  t.notOk(billed('BILLING_STATUS_PENDING'))
  t.notOk(billed('BILLING_STATUS_UNSPECIFIED'))
  for (const status of ['BILLED', 'REFUNDED', 'FREE_MINUTES', 'FREE_ZERO_EFFECTIVE_DURATION', 'OF_ANOTHER_YEAR']) {
    t.ok(billed(`BILLING_STATUS_${status}`), status)
  }
})

t.test('the events come in their order, each once, and none is lost as a call goes on', async (t) => {
  const instant = fc.option(fc.integer({ min: 0, max: 2 ** 45 }))
  const status = fc.constantFrom('BILLING_STATUS_PENDING', 'BILLING_STATUS_UNSPECIFIED', 'BILLING_STATUS_BILLED', 'NEW')
  const progress = fc.record({ created: fc.nat(), joined: instant, ended: instant, billingStatus: status })
  fc.assert(
    fc.property(progress, fc.nat(), (call, at) => {
      const events = eventsOf(call)
      const inOrder = LIFECYCLE_EVENTS.filter((event) => events.includes(event))
      const later = {
        ...call,
        joined: call.joined ?? at,
        ended: call.ended ?? at,
        billingStatus: 'BILLING_STATUS_BILLED',
      }
      return (
        JSON.stringify(inOrder) === JSON.stringify(events) &&
        events[0] === 'call.started' &&
        JSON.stringify(eventsOf(later)) === JSON.stringify(LIFECYCLE_EVENTS)
      )
    }),
  )
  t.pass()
})

t.test('a body holds the call byte for byte', async (t) => {
  const call = '{ "callId":"a", "n":12345678901234567890, "x":1.0, "n":2 }'
  t.equal(eventBody('call.ended', Buffer.from(call)).toString(), `{"event":"call.ended","call":${call}}`)
})

t.test('whatever the event and the call are, the body is a payload of them', async (t) => {
  const call = fc.record({ callId: fc.uuid(), metadata: fc.jsonValue() })
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), call, (event, call) => {
      const text = JSON.stringify(call)
      const read = parsePayload(eventBody(event, Buffer.from(text)))
      return 'payload' in read && read.payload.event === event && JSON.stringify(read.payload.call) === text
    }),
  )
  t.pass()
})
