import t from 'tap'
import { peculiarityOf, peculiarityOfHost } from '../../src/domain/link-local.ts'

const of = (...addresses: string[]) => addresses.map(peculiarityOf)

t.test('link-local addresses are known in all their forms', async (t) => {
  for (const address of [
    ...['169.254.0.0', '169.254.169.254', '169.254.255.255'],
    ...['fe80::', 'FE80::1', 'fe80::1%eth0', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '[fe80::1]'.slice(1, -1)],
    ...['::ffff:169.254.1.1', '::ffff:a9fe:101', '0:0:0:0:0:FFFF:A9FE:0101', '::169.254.1.1'],
    ...['64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1'],
    // IPv4-translated, ISATAP and Teredo (the server's address, and the client's with its bits inverted).
    ...['::ffff:0:a9fe:a9fe', '::ffff:0:169.254.169.254', '2001:db8::5efe:a9fe:a9fe', '2001:db8::200:5efe:a9fe:a9fe'],
    ...['2001:0:a9fe:a9fe::1', '2001:0:102:304:0:0:5601:5601'],
    // Local NAT64 with prefixes of 96, 64, 56 and 48 bits.
    ...['64:ff9b:1::a9fe:a9fe', '64:ff9b:1:2:3:4:a9fe:a9fe', '64:ff9b:1:2:a9:fea9:fe00:0', '64:ff9b:1:2a9:fe:a9fe::'],
    '64:ff9b:1:a9fe:a9:fe00::',
  ]) {
    t.equal(peculiarityOf(address), 'a link-local address', address)
  }
})

t.test('the metadata services of clouds are known', async (t) => {
  const addresses = ['100.100.100.200', '::ffff:100.100.100.200', 'fd00:ec2::254', 'fd00:0ec2:0::0:254', 'fd00:ec2::23']
  const others = ['168.63.129.16', '::ffff:a83f:8110', '192.0.0.192', '64:ff9b::192.0.0.192', '2002:a83f:8110::']
  for (const address of [...addresses, ...others, 'fd20:ce::254', 'fd00:c1::a9fe:a9fe', 'fd00:42::42']) {
    t.equal(peculiarityOf(address), 'the address of a cloud metadata service', address)
  }
})

t.test('neighbours of them, and all else, are nothing peculiar', async (t) => {
  const ordinary = ['169.253.255.255', '169.255.0.0', '127.0.0.1', '10.0.0.1', '100.100.100.201', '192.168.169.254']
  const translated = ['::ffff:0:7f00:1', '64:ff9b:1::1', '2001:0:102:304::1', '2001:db8::5efe:a00:1', '168.63.129.17']
  const ordinary6 = ['::1', '::', 'fe7f::1', 'fec0::1', 'fd00:ec2::255', '::ffff:127.0.0.1', '2001:db8::a9fe:1']
  for (const address of [...ordinary, ...ordinary6, ...translated, 'crm.internal', '169.254.example.com', '', 'x:y']) {
    t.equal(peculiarityOf(address), null, address)
  }
  t.same(of('1:2:3:4:5:6:7:8'), [null])
})

t.test('the names of metadata services are known however they are written', async (t) => {
  for (const host of ['metadata.google.internal', 'METADATA.Google.Internal.', 'metadata.goog', 'instance-data..']) {
    t.equal(peculiarityOfHost(host), 'the address of a cloud metadata service', host)
  }
  for (const host of ['[fe80::1]', '169.254.1.1']) t.equal(peculiarityOfHost(host), 'a link-local address', host)
  for (const host of ['metadata', 'google.internal', 'crm.internal', '[::1]'])
    t.equal(peculiarityOfHost(host), null, host)
})
