import t from 'tap'
import { UnknownPaths } from '../../src/ingest/unknown-paths.ts'

const request = (path: string, isSigned = false, at = 0) => ({ method: 'POST', path, peer: '192.0.2.7', isSigned, at })

t.test('scanners cannot push out a request with the headers of a webhook', async (t) => {
  const paths = new UnknownPaths()
  paths.note(request('/webhook', true))
  for (let at = 0; at < 10_000; at++) paths.note(request(`/${at}/${'x'.repeat(1_000)}`, false, at))
  paths.note(request('/webhook', false, 20_000))
  const [last, ...others] = paths.list(20_000)
  t.match(last, { path: '/webhook', count: 2, lastAt: 20_000, isSigned: true })
  t.equal(others.length, 49)
  t.ok(others.every(({ path }) => path.length <= 200))
})

t.test('what is no longer asked for is forgotten after a day, and keys in paths are masked', async (t) => {
  const paths = new UnknownPaths()
  paths.note(request('/hook/sk_live_4eC39HqLyjWDarjtT1zdp7dc', false, 0))
  t.notMatch(JSON.stringify(paths.list(1)), '4eC39HqLyjWDarjtT1zdp7dc')
  t.same(paths.list(25 * 60 * 60_000), [])
})
