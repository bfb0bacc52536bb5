import t from 'tap'
import { type AccessOptions, createAccess } from '../../src/admin/access.ts'
import { Secret } from '../../src/domain/secret.ts'

const TOKEN = 'a-token-of-enough-length'

function denialOf(options: Partial<AccessOptions>, headers: Record<string, string>, localAddress = '127.0.0.1') {
  const access = createAccess({ host: '127.0.0.1', hosts: [], token: null, ...options })
  return access({ headers, socket: { localAddress } as never })?.error ?? null
}

t.test('names of the listener are taken, all others refused: somebody may have them lead here', async (t) => {
  for (const host of ['localhost', 'LOCALHOST:8081', '127.0.0.1:8081', '[::1]:8081', '127.0.0.1']) {
    t.equal(denialOf({}, { host }), null, host)
  }
  for (const host of ['evil.test', 'localhost.evil.test', '127.0.0.1.evil.test:8081', '', 'x:y', '10.0.0.1:8081']) {
    t.equal(denialOf({}, { host }), 'host_not_allowed', host)
  }
  t.equal(denialOf({}, {}), 'host_not_allowed', 'none at all')
})

t.test('further names come from the configuration, and the address of the connection is one', async (t) => {
  t.equal(denialOf({ hosts: ['Relay.internal'] }, { host: 'relay.internal:80' }), null)
  t.equal(denialOf({ host: 'relay' }, { host: 'relay:8081' }), null)
  t.equal(denialOf({ host: '0.0.0.0' }, { host: '10.0.0.5:8081' }, '10.0.0.5'), null)
  t.equal(denialOf({ host: '::' }, { host: '10.0.0.5:8081' }, '::ffff:10.0.0.5'), null)
  t.equal(denialOf({ host: '::' }, { host: '[fd00::1]:8081' }, 'fd00::1'), null)
  t.equal(denialOf({ host: '0.0.0.0' }, { host: '10.0.0.6:8081' }, '10.0.0.5'), 'host_not_allowed')
  t.equal(denialOf({ host: null }, { host: 'whatever' }), null, 'a unix socket has no name')
})

t.test('a page of another origin may not ask, wherever it is from', async (t) => {
  const host = 'localhost:8081'
  t.equal(denialOf({}, { host, origin: 'http://localhost:8081' }), null)
  for (const origin of ['http://localhost:3000', 'https://evil.test', 'null', '']) {
    t.equal(denialOf({}, { host, origin }), 'origin_not_allowed', origin)
  }
})

t.test('with a token, it has to be shown exactly', async (t) => {
  const options = { token: new Secret(TOKEN) }
  const host = 'localhost'
  t.equal(denialOf(options, { host, authorization: `Bearer ${TOKEN}` }), null)
  for (const authorization of [
    '',
    TOKEN,
    `Bearer ${TOKEN} `,
    `Bearer ${TOKEN.slice(1)}`,
    `Basic ${TOKEN}`,
    'Bearer ',
  ]) {
    t.equal(denialOf(options, { host, authorization }), 'unauthorized', authorization)
  }
  t.equal(denialOf(options, { host }), 'unauthorized', 'nothing')
})
