import t from 'tap'
import type { Outcome } from '../../src/domain/outcome.ts'
import { Secret } from '../../src/domain/secret.ts'
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
    }),
    secrets,
  )
  t.same(await target.send(sampleDelivery(), running), {
    kind: 'failed',
    error: 'exit 1: cannot log in with [secret]',
    status: 500,
    response: '{"authorization":"[secret]","key":"[secret]"}',
  })
})

t.test('short values are words like any other and stay', async (t) => {
  const target = concealing(answering({ kind: 'delivered', response: 'calls of today' }), [new Secret('calls')])
  t.same(await target.send(sampleDelivery(), running), { kind: 'delivered', response: 'calls of today' })
})

t.test('an interrupted attempt stays one', async (t) => {
  const target = concealing(answering({ kind: 'interrupted' }), [])
  t.same(await target.send(sampleDelivery(), running), { kind: 'interrupted' })
})
