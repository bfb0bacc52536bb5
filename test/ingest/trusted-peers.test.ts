import t from 'tap'
import { TrustedPeers } from '../../src/ingest/trusted-peers.ts'

const HOUR_MS = 3_600_000

t.test('an address is trusted for an hour after its last verified event, to the millisecond', async (t) => {
  const peers = new TrustedPeers()
  t.notOk(peers.has('a', 's', 0))
  peers.add('a', 's', 1_000)
  t.ok(peers.has('a', 's', 1_000))
  t.ok(peers.has('a', 's', 1_000 + HOUR_MS - 1))
  t.notOk(peers.has('a', 's', 1_000 + HOUR_MS))
  peers.add('a', 's', 2_000)
  t.ok(peers.has('a', 's', 1_000 + HOUR_MS))
})

t.test('an address is trusted only for itself, and only for the sources it sent events to', async (t) => {
  const peers = new TrustedPeers()
  peers.add('203.0.113.1', 's', 0)
  for (const other of ['203.0.113.10', '203.0.113', '', '::ffff:203.0.113.1', '__proto__']) {
    t.notOk(peers.has(other, 's', 0), other)
  }
  t.notOk(peers.has('203.0.113.1', 'another source', 0))
  t.ok(peers.knows('203.0.113.1'))
  t.notOk(peers.knows('203.0.113.10'))
})

t.test('a clock set back does not end trust', async (t) => {
  const peers = new TrustedPeers()
  peers.add('a', 's', 10 * HOUR_MS)
  t.ok(peers.has('a', 's', 0))
})

t.test('of more than 10,000 addresses the one not seen for longest is forgotten', async (t) => {
  const peers = new TrustedPeers()
  for (let i = 0; i < 10_000; i += 1) peers.add(`peer ${i}`, 's', i)
  peers.add('peer 0', 's', 10_000)
  t.ok(peers.has('peer 1', 's', 10_000))
  peers.add('new', 's', 10_001)
  t.ok(peers.has('peer 0', 's', 10_001), 'it was seen again')
  t.notOk(peers.has('peer 1', 's', 10_001), 'now the oldest')
  t.ok(peers.has('peer 2', 's', 10_001))
  t.ok(peers.has('new', 's', 10_001))
})
