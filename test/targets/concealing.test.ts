import t from 'tap'
import { concealer } from '../../src/domain/concealer.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { Secret } from '../../src/domain/secret.ts'
import { keysIn } from '../../src/expressions/body-template.ts'
import { concealing } from '../../src/targets/concealing.ts'
import { running, sampleDelivery } from './sample-delivery.ts'

function answering(outcome: Outcome) {
  return { name: 'crm', send: async () => outcome, close: async () => {} }
}

t.test("an answer that repeats a target's secrets is kept without them", async (t) => {
  const secrets = [new Secret('Bearer token-1234567'), new Secret('signing-secret')]
  const target = concealing(
    answering({
      kind: 'failed',
      error: 'exit 1: cannot log in with token-1234567',
      status: 500,
      response: '{"authorization":"Bearer token-1234567","key":"signing-secret"}',
      note: 'token-1234567 was printed',
    }),
    concealer(secrets),
  )
  t.same(await target.send(sampleDelivery(), running), {
    kind: 'failed',
    error: 'exit 1: cannot log in with [secret]',
    status: 500,
    response: '{"authorization":"[secret]","key":"[secret]"}',
    note: '[secret] was printed',
  })
})

t.test('of a template the words around its expressions are secret', async (t) => {
  const target = concealing(
    answering({ kind: 'delivered', response: 'got Key key-1234567/c-1' }),
    concealer([new Secret('Key key-1234567/{{call.callId}}')]),
  )
  t.same(await target.send(sampleDelivery(), running), { kind: 'delivered', response: 'got Key [secret]c-1' })
})

t.test('the texts of a body that look like keys are taken for secrets, and words and templates are not', async (t) => {
  const body = {
    routing_key: 'R0UT1NG-K3Y-0123456789',
    list: [{ summary: 'Call {{call.callId}} has ended', event_action: 'trigger', count: 3, none: null }],
    id: '{{event.id & "-" & event.name}}',
  }
  t.same(
    keysIn(body).map((secret) => secret.reveal()),
    ['R0UT1NG-K3Y-0123456789'],
  )
  t.same(keysIn(null), [])
})

t.test('short values are words like any other and stay', async (t) => {
  const target = concealing(
    answering({ kind: 'delivered', response: 'calls of today' }),
    concealer([new Secret('calls')]),
  )
  t.same(await target.send(sampleDelivery(), running), { kind: 'delivered', response: 'calls of today' })
})

t.test('an interrupted attempt stays one', async (t) => {
  const target = concealing(answering({ kind: 'interrupted' }), (text) => text)
  t.same(await target.send(sampleDelivery(), running), { kind: 'interrupted' })
})
