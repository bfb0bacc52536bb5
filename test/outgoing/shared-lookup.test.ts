import type { LookupFunction } from 'node:net'
import t from 'tap'
import { shared } from '../../src/outgoing/shared-lookup.ts'

t.test('connections that are made at once ask for a name once, later ones ask again', async (t) => {
  const asked: { hostname: string; answer: () => void }[] = []
  const lookup = shared((hostname, _options, callback) => {
    asked.push({ hostname, answer: () => callback(null, `address of ${hostname}`, 4) })
  })
  const ask = (hostname: string, options: Parameters<LookupFunction>[1] = {}) =>
    new Promise((resolve) => lookup(hostname, options, (_error, address) => resolve(address)))

  const answers = [ask('crm.internal'), ask('crm.internal'), ask('ops.internal'), ask('crm.internal', { family: 6 })]
  t.same(
    asked.map(({ hostname }) => hostname),
    ['crm.internal', 'ops.internal', 'crm.internal'],
  )
  for (const { answer } of asked) answer()
  const [crm, ops] = ['address of crm.internal', 'address of ops.internal']
  t.same(await Promise.all(answers), [crm, crm, ops, crm])

  const later = ask('crm.internal')
  t.equal(asked.length, 4)
  asked[3]!.answer()
  t.equal(await later, crm)
})
