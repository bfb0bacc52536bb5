import fc from 'fast-check'
import t from 'tap'
import { Shares } from '../../src/ingest/shares.ts'

const action = fc.record({
  kind: fc.constantFrom('add', 'add', 'delete', 'renew'),
  network: fc.constantFrom('a', 'b', 'c', 'd'),
  member: fc.nat(5),
})

t.test('the networks with the most members come first, whatever was added and deleted', async (t) => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const shares = new Shares<number>()
      const model = new Map<string, number[]>()
      for (const { kind, network, member } of actions) {
        const members = model.get(network) ?? []
        if (kind === 'renew' && !members.includes(member)) continue
        shares[kind as 'add'](network, member)
        const others = members.filter((each) => each !== member)
        const kept = kind === 'add' && members.includes(member) ? members : others
        model.set(network, kind === 'delete' || kept === members ? kept : [...others, member])
      }
      const found = [...shares.byNetwork()].map((members) => [...members])
      const expected = [...model.values()].filter(({ length }) => length > 0)
      const inOrder = found.every((members, n) => n === 0 || members.length <= found[n - 1]!.length)
      const sorted = (lists: number[][]) => lists.map(String).sort()
      return inOrder && String(sorted(found)) === String(sorted(expected))
    }),
    { numRuns: 500 },
  )
  t.pass('500 histories')
})
