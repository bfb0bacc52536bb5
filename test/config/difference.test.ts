import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import type { Config } from '../../src/config/config.ts'
import { differences, sameTarget, withoutRestart } from '../../src/config/difference.ts'
import { loadConfig } from '../../src/config/load.ts'
import { targetHash } from '../../src/config/target-hash.ts'

const SECRET = 'whsec_marker_that_never_shows'
const crm = { type: 'http', url: 'https://crm.internal/', headers: { Authorization: SECRET } }
const basis = {
  sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
  targets: { crm },
  routes: [{ events: ['*'], to: ['crm'] }],
}

t.test('what has changed is told by name, and without a value', async (t) => {
  const load = (config: object): Config =>
    loadConfig(join(t.testdir({ 'relay.yaml': JSON.stringify(config) }), 'relay.yaml'), {}).config
  const before = load(basis)
  t.same(differences(before, load(basis)), [])

  const after = load({
    server: { bodyLimit: '2mb' },
    outbox: { reserve: '1gb' },
    delivery: { alertAfter: '1h' },
    sources: { ultravox: { scheme: 'ultravox', secrets: [`${SECRET}2`, SECRET] } },
    targets: {
      crm: { ...crm, headers: { Authorization: `${SECRET}3` }, timeout: '3s', ordered: 'call', onDead: 'hold' },
      ops: { type: 'http', url: 'https://ops.internal/' },
    },
    routes: [{ events: ['*'], to: ['crm', 'ops'] }],
  })
  const told = differences(before, after)
  t.same(told, [
    'server changed: bodyLimit',
    'outbox changed: reserve',
    'delivery changed: alertAfter',
    'sources.ultravox changed: secrets',
    'targets.crm changed: headers, timeout, ordered, onDead',
    'targets.ops added',
    'routes changed',
  ])
  t.notMatch(inspect(told), SECRET)
  t.same(differences(after, before).includes('targets.ops removed'), true)
})

t.test('a target is the same if its deliveries are made the same way', async (t) => {
  const load = (target: object, listen = '127.0.0.1:1234'): Config => {
    const config = { ...basis, server: { listen }, targets: { crm: target } }
    return loadConfig(join(t.testdir({ 'relay.yaml': JSON.stringify(config) }), 'relay.yaml'), {}).config
  }
  const before = load(crm)
  t.ok(sameTarget(before, load({ ...crm, paused: true }), 'crm'), 'pausing is another matter')
  t.notOk(sameTarget(before, load({ ...crm, headers: { Authorization: 'other' } }), 'crm'), 'its secrets count')
  t.notOk(sameTarget(before, before, 'constructor'))

  const hash = ({ targets, directory }: Config) => targetHash('crm', targets.crm!, directory)
  const usual = await hash(before)
  t.match(usual, /^[0-9a-f]{16}$/)
  t.equal(await hash({ ...before }), usual, 'a digest says the same over a restart')
  t.equal(await hash({ ...before, targets: { crm: { ...before.targets.crm!, paused: true } } }), usual)
  t.not(await hash({ ...before, directory: '/elsewhere' }), usual)
  const changed = { ...crm, headers: { Authorization: 'other' } }
  t.not(await hash({ ...load(changed), directory: before.directory }), usual)

  const { config, needsRestart } = withoutRestart(before, load(crm, '127.0.0.1:1235'))
  t.same(needsRestart, ['server.listen'])
  t.equal(config.server.listen.port, 1234)

  const traced = withoutRestart(before, {
    ...before,
    tracing: { url: 'x', headers: {}, serviceName: 'x', sampleRatio: 1 },
  })
  t.same(traced.needsRestart, ['tracing'])
  t.equal(traced.config.tracing, null)
})
