import t from 'tap'
import { clientOf, createProxyMatcher, parsePeer, peerAt } from '../../src/ingest/peer.ts'

const FORMS: readonly (readonly [entry: string, address: string, network: string])[] = [
  ['203.0.113.7', '203.0.113.7', '203.0.113.7'],
  [' 203.0.113.7:443 ', '203.0.113.7', '203.0.113.7'],
  ['203.0.113.7:', '203.0.113.7', '203.0.113.7'],
  ['"203.0.113.7:443"', '203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7', '203.0.113.7'],
  ['[::FFFF:CB00:7107]:443', '203.0.113.7', '203.0.113.7'],
  ['2001:0DB8::0:1', '2001:db8::1', '2001:db8:0:0::/64'],
  ['[2001:db8::1]', '2001:db8::1', '2001:db8:0:0::/64'],
  ['"[2001:db8::1]:443"', '2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:1:2:3:4:5:6:443', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:ffff::', '2001:db8:1:2:ffff::', '2001:db8:1:2::/64'],
  ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
  ['[fe80::1%25eth0]:80', 'fe80::1', 'fe80:0:0:0::/64'],
  ['::', '::', '0:0:0:0::/64'],
  ['::1', '::1', '0:0:0:0::/64'],
  ['64:ff9b::203.0.113.7', '64:ff9b::cb00:7107', '64:ff9b:0:0::/64'],
]

t.test('an IP address is read in every form that proxies write, as one and the same', async (t) => {
  for (const [entry, address, network] of FORMS) t.same(parsePeer(entry), { address, network }, entry)
})

t.test('what is not an IP address is nobody', async (t) => {
  for (const entry of [
    '',
    'unknown',
    '_hidden',
    'relay.test',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.4.5',
    '1.2.3.4:x',
    '1.2.3.4 5.6.7.8',
    '[1.2.3.4',
    '[]:80',
    ':80',
    '1::2::3',
    '"',
    'x'.repeat(10_000),
    '1.2.3.4\u0000',
  ]) {
    t.equal(parsePeer(entry), null, entry.slice(0, 20))
  }
})

t.test('proxies are matched by address and CIDR, whichever way their addresses are written', async (t) => {
  const isProxy = createProxyMatcher(['10.0.0.0/8', '::ffff:192.0.2.1', '::ffff:198.51.100.0/120', '2001:db8::/32'])
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.1', '198.51.100.200', '2001:DB8:1::1']) {
    t.ok(isProxy(peerAt(address)!.address), address)
  }
  for (const address of ['11.0.0.1', '192.0.2.2', '198.51.101.1', '2001:db9::1', '::1']) {
    t.notOk(isProxy(peerAt(address)!.address), address)
  }
  t.notOk(createProxyMatcher([])('127.0.0.1'))
})

t.test('the client is the last one that no listed proxy stands for', async (t) => {
  const isProxy = createProxyMatcher(['10.0.0.0/8'])
  const client = (forwarded: string | undefined, from = '10.0.0.1') =>
    clientOf(peerAt(from)!, forwarded, isProxy).address
  t.equal(client(undefined), '10.0.0.1')
  t.equal(client(''), '10.0.0.1')
  t.equal(client('203.0.113.7'), '203.0.113.7')
  t.equal(client('198.51.100.1,203.0.113.7:80 , 10.9.9.9:81'), '203.0.113.7')
  t.equal(client('garbage, 203.0.113.7'), '203.0.113.7', 'what the client claims itself is not read')
  t.equal(client('203.0.113.7, garbage'), '10.0.0.1')
  t.equal(client('203.0.113.7,'), '10.0.0.1')
  t.equal(client('10.0.0.3, 10.0.0.2'), '10.0.0.3', 'nobody but proxies')
  t.equal(client('203.0.113.7', '192.0.2.1'), '192.0.2.1', 'said by no proxy')
})
