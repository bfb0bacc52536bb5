import t from 'tap'
import { identityValues, visible } from '../../src/targets/identity-values.ts'
import { sampleDelivery } from './sample-delivery.ts'

t.test('visible ASCII stays as it is', async (t) => {
  t.equal(visible('call.ended'), 'call.ended')
  t.equal(visible('a/b?c=d&e#"<>'), 'a/b?c=d&e#"<>')
})

t.test('everything else is percent-encoded so that it can be decoded', async (t) => {
  for (const value of ['call ended', 'a\r\nx-evil: 1', '100%', 'übel', '😀', '\u0000']) {
    t.match(visible(value), /^[\x21-\x7e]*$/)
    t.equal(decodeURIComponent(visible(value)), value)
  }
})

t.test('half a surrogate pair becomes the replacement character', async (t) => {
  t.equal(visible('a\ud83d'), 'a%EF%BF%BD')
})

t.test('long values are cut to 1,024 characters, never within an encoded one', async (t) => {
  t.equal(visible('x'.repeat(2_000)), 'x'.repeat(1024))
  const cut = visible('é'.repeat(2_000))
  t.equal(cut.length, 1020)
  t.equal(decodeURIComponent(cut), 'é'.repeat(170))
})

t.test('the attempt counts from 1, and an event without a call has an empty call id', async (t) => {
  const values = identityValues(sampleDelivery({ callId: null }, { attempts: 2 }))
  t.equal(values.attempt, '3')
  t.equal(values.callId, '')
})
