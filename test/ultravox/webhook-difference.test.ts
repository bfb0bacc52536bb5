import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import type { Webhook } from '../../src/ultravox/client.ts'
import { candidatesFor, webhookDifference } from '../../src/ultravox/webhook-difference.ts'

const secrets = (...texts: string[]) => texts.map((text) => new Secret(text))
const wanted = { url: 'https://relay.test/in', agentId: null, events: ['a', 'b'], secrets: secrets('one', 'two') }
const webhook = (fields: Partial<Webhook>): Webhook => ({
  webhookId: 'id',
  created: 0,
  status: 'normal',
  lastStatusChange: null,
  recentFailures: [],
  ...wanted,
  ...fields,
})

t.test('the order of events, a host in capitals and a secret too many are no differences', async (t) => {
  const registered = webhook({ url: 'https://RELAY.test/in', events: ['b', 'a'], secrets: secrets('x', 'two') })
  t.same(webhookDifference(wanted, registered), { patch: {}, changes: [] })
  t.same(candidatesFor(wanted, [registered]), [registered])
})

t.test('a patch holds only what differs, and every secret that was there', async (t) => {
  const { patch } = webhookDifference(wanted, webhook({ secrets: secrets('x') }))
  t.same(Object.keys(patch), ['secrets'])
  t.same(
    patch.secrets!.map((secret) => secret.reveal()),
    ['x', 'one', 'two'],
  )
  t.same(webhookDifference(wanted, webhook({ events: ['a'] })).patch, { events: ['a', 'b'] })
})

t.test('one in its place comes before one with its secret, and another agent’s is never it', async (t) => {
  const inPlace = webhook({ secrets: secrets('x') })
  const elsewhere = webhook({ url: 'https://other.test/' })
  const ofAgent = webhook({ agentId: 'agent' })
  t.same(candidatesFor(wanted, [elsewhere, inPlace, ofAgent]), [inPlace])
  t.same(candidatesFor(wanted, [elsewhere, ofAgent]), [elsewhere])
  t.same(candidatesFor(wanted, [ofAgent, webhook({ url: 'https://other.test/', secrets: secrets('x') })]), [])
})
