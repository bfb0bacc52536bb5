import t from 'tap'
import { FamiliarPeers } from '../../src/ingest/familiar-peers.ts'

const HOUR_MS = 3_600_000

t.test('an address is familiar for an hour after its last genuine event, to the millisecond', async (t) => {
  const peers = new FamiliarPeers()
  t.notOk(peers.has('a', 0))
  peers.saw('a', 1_000)
  t.ok(peers.has('a', 1_000))
  t.ok(peers.has('a', 1_000 + HOUR_MS - 1))
  t.notOk(peers.has('a', 1_000 + HOUR_MS))
  peers.saw('a', 2_000)
  t.ok(peers.has('a', 1_000 + HOUR_MS))
})

t.test('an address is only familiar for itself', async (t) => {
  const peers = new FamiliarPeers()
  peers.saw('203.0.113.1', 0)
  for (const other of ['203.0.113.10', '203.0.113', '', '::ffff:203.0.113.1', '__proto__']) {
    t.notOk(peers.has(other, 0), other)
  }
})

t.test('a clock set back does not make a familiar address strange', async (t) => {
  const peers = new FamiliarPeers()
  peers.saw('a', 10 * HOUR_MS)
  t.ok(peers.has('a', 0))
})

t.test('of more than 10,000 addresses the one not seen for longest is forgotten', async (t) => {
  const peers = new FamiliarPeers()
  for (let i = 0; i < 10_000; i += 1) peers.saw(`peer ${i}`, i)
  peers.saw('peer 0', 10_000)
  t.ok(peers.has('peer 1', 10_000))
  peers.saw('new', 10_001)
  t.ok(peers.has('peer 0', 10_001), 'it was seen again')
  t.notOk(peers.has('peer 1', 10_001), 'now the oldest')
  t.ok(peers.has('peer 2', 10_001))
  t.ok(peers.has('new', 10_001))
})
