import t from 'tap'
import { peculiarityOf } from '../../src/domain/link-local.ts'

const of = (...addresses: string[]) => addresses.map(peculiarityOf)

t.test('link-local addresses are known in all their forms', async (t) => {
  for (const address of [
    ...['169.254.0.0', '169.254.169.254', '169.254.255.255'],
    ...['fe80::', 'FE80::1', 'fe80::1%eth0', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '[fe80::1]'.slice(1, -1)],
    ...['::ffff:169.254.1.1', '::ffff:a9fe:101', '0:0:0:0:0:FFFF:A9FE:0101', '::169.254.1.1'],
    ...['64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1'],
  ]) {
    t.equal(peculiarityOf(address), 'a link-local address', address)
  }
})

t.test('the metadata services of clouds are known', async (t) => {
  const addresses = ['100.100.100.200', '::ffff:100.100.100.200', 'fd00:ec2::254', 'fd00:0ec2:0::0:254', 'fd00:ec2::23']
  for (const address of [...addresses, 'fd20:ce::254']) {
    t.equal(peculiarityOf(address), 'the address of a cloud metadata service', address)
  }
})

t.test('neighbours of them, and all else, are nothing peculiar', async (t) => {
  const ordinary = ['169.253.255.255', '169.255.0.0', '127.0.0.1', '10.0.0.1', '100.100.100.201', '192.168.169.254']
  const ordinary6 = ['::1', '::', 'fe7f::1', 'fec0::1', 'fd00:ec2::255', '::ffff:127.0.0.1', '2001:db8::a9fe:1']
  for (const address of [...ordinary, ...ordinary6, 'crm.internal', '169.254.example.com', '', 'x:y']) {
    t.equal(peculiarityOf(address), null, address)
  }
  t.same(of('1:2:3:4:5:6:7:8'), [null])
})
