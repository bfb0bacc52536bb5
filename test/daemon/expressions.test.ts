import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { childrenOf } from '../children.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { runRelay, startRelay, writeConfig } from './relay-process.ts'

const BACKTRACKS = '$match(call.shortSummary, /^(\\w+\\s?)+$/)'
const SUMMARY = 'The caller moved an appointment to Thursday at ten.'
const bodyOf = (callId: string) => JSON.stringify({ event: 'call.ended', call: { callId, shortSummary: SUMMARY } })

t.test('a condition that backtracks without end counts as true, is logged, and stops nothing', async (t) => {
  const crm = await httpServer(t, (response) => response.end())
  const config = writeConfig(scratch(t), {
    sources: { open: { scheme: 'none' } },
    targets: { crm: { type: 'http', url: crm.origin } },
    routes: [{ events: ['*'], when: BACKTRACKS, to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const accepted = request(`${relay.origin}/webhooks/open`, { method: 'POST', body: bodyOf('c-1') })
  const health = await request(`${relay.origin}/healthz`)
  t.equal(health.statusCode, 200)
  t.equal((await accepted).statusCode, 204)
  await eventually(() => crm.received.length === 1, 'it is delivered')
  t.match(
    relay.log.find(({ msg }) => msg === 'route condition failed, taken as true'),
    { level: 'warn', route: 0, callId: 'c-1', error: 'it took more than 250 ms' },
  )
  const { code, signal } = await relay.end('SIGTERM')
  t.same([code, signal], [0, null])
})

t.test('a relay that is killed leaves no process that evaluates', async (t) => {
  const config = writeConfig(scratch(t), {
    sources: { open: { scheme: 'none' } },
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], when: BACKTRACKS, to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const { pid } = relay.process
  const accepted = request(`${relay.origin}/webhooks/open`, { method: 'POST', body: bodyOf('c-4') }).catch(() => {})
  await eventually(() => childrenOf(pid!).length > 0, 'the process for expressions is started')
  const children = childrenOf(pid!)
  await relay.end('SIGKILL')
  await accepted
  await eventually(() => children.every((child) => !existsSync(`/proc/${child}`)), 'it has ended')
})

t.test('a template that backtracks without end ends its delivery dead and no other', async (t) => {
  const crm = await httpServer(t, (response) => response.end())
  const directory = scratch(t)
  const fill = `{{${BACKTRACKS}}}`
  const target = { type: 'http', url: crm.origin }
  const config = writeConfig(directory, {
    sources: { open: { scheme: 'none' } },
    targets: {
      body: { ...target, body: { a: fill } },
      header: { ...target, headers: { 'X-A': fill } },
      slack: { type: 'slack', webhookUrl: crm.origin, text: fill },
      blocks: { type: 'slack', webhookUrl: crm.origin, blocks: [{ type: 'section', text: fill }] },
      fine: target,
    },
    routes: [{ events: ['*'], to: ['body', 'header', 'slack', 'blocks', 'fine'] }],
  })
  const relay = await startRelay(t, config)
  const { statusCode } = await request(`${relay.origin}/webhooks/open`, { method: 'POST', body: bodyOf('c-2') })
  t.equal(statusCode, 204)
  await eventually(() => relay.log.filter(({ state }) => state === 'dead').length === 4, 'four are dead')
  for (const { error } of relay.log.filter(({ state }) => state === 'dead')) {
    t.equal(error, 'template: it took more than 250 ms')
  }
  t.equal(crm.received.length, 1)
  t.same([(await relay.end('SIGTERM')).code, existsSync(join(directory, 'relay.db-wal'))], [0, false])
})

t.test('a command that evaluates conditions is as bounded', async (t) => {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources: { open: { scheme: 'none' } },
    targets: { crm: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], when: BACKTRACKS, to: ['crm'] }],
  })
  writeFileSync(join(directory, 'event.json'), bodyOf('c-3'))
  const { code, stdout } = await runRelay(['match', 'event.json', '--config', config], directory)
  t.equal(code, 0)
  t.match(stdout, 'fails, taken as true: it took more than 250 ms')
})
