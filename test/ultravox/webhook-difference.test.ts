import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import type { Webhook } from '../../src/ultravox/client.ts'
import { webhookDifference, webhooksElsewhere, webhooksInPlace } from '../../src/ultravox/webhook-difference.ts'

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
  t.same(webhooksInPlace(wanted, [registered]), [registered])
  t.same(webhooksElsewhere(wanted, [registered]), [])
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

t.test('only the URL and the agent say which webhook it is; one with its secret elsewhere may be it', async (t) => {
  const inPlace = webhook({ secrets: secrets('x') })
  const elsewhere = webhook({ url: 'https://other.test/' })
  const ofAgent = webhook({ agentId: 'agent' })
  const foreign = webhook({ url: 'https://other.test/', secrets: secrets('x') })
  const registered = [elsewhere, inPlace, ofAgent, { ...elsewhere, agentId: 'agent' }, foreign]
  t.same(webhooksInPlace(wanted, registered), [inPlace])
  t.same(webhooksElsewhere(wanted, registered), [elsewhere])
  t.same(webhooksInPlace(wanted, [elsewhere, ofAgent]), [])
})
