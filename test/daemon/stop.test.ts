import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { startDaemon } from '../../src/daemon.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

/** A configuration whose target does not answer before it is told to. */
async function silentTarget(t: Test) {
  const directory = scratch(t)
  const asked: (() => void)[] = []
  const sink = await httpServer(t, (response) => asked.push(() => response.end()))
  const write = (target: string) =>
    writeConfig(directory, {
      server: { listen: '127.0.0.1:0', shutdownTimeout: '60s' },
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { [target]: { type: 'http', url: sink.origin, timeout: '60s' } },
      routes: [{ events: ['*'], to: [target] }],
    })
  const answer = () => {
    for (const each of asked.splice(0)) each()
  }
  return { write, asked, answer }
}

t.test('while the relay stops, a reload is rejected, and a second stop waits for the first', async (t) => {
  const { write, asked, answer } = await silentTarget(t)
  const load = (target: string) => loadConfig(write(target), process.env).config
  const onFailure = (error: Error) => t.fail(error.message)
  const daemon = await startDaemon(load('old'), { logger: pino({ level: 'silent' }), onFailure })
  await send(`http://${daemon.address}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => asked.length === 1, 'an attempt is under way')

  const under = daemon.reload(load('begun'))
  await turn()
  const stopped = daemon.stop()
  let hasStopped = false
  const again = daemon.stop().then(() => {
    hasStopped = true
  })
  t.match(
    await under,
    { changed: ['targets.old removed', 'targets.begun added', 'routes changed'] },
    'one that has begun ends',
  )
  await t.rejects(daemon.reload(load('late')), { code: 'daemon_unreachable', message: /shutting down/ })
  await t.rejects(daemon.refuseReload('a problem'), { code: 'daemon_unreachable' })
  t.notOk(hasStopped)
  answer()
  await Promise.all([stopped, again])
  await t.rejects(daemon.reload(load('later')), { code: 'daemon_unreachable' })
})

t.test('SIGHUP neither ends nor reloads a relay that stops', async (t) => {
  const { write, asked, answer } = await silentTarget(t)
  const relay = await startRelay(t, write('old'))
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => asked.length === 1, 'an attempt is under way')
  write('new')
  const end = relay.end('SIGTERM')
  await eventually(() => relay.log.some(({ msg }) => msg === 'relay stopping'), 'it stops')
  for (let n = 0; n < 5; n++) relay.process.kill('SIGHUP')
  answer()
  t.match(await end, { code: 0, signal: null })
  t.notOk(relay.log.some(({ msg }) => msg.startsWith('configuration')))
})

t.test('a hook that stops the process that starts hooks does not hold up the shutdown', async (t) => {
  const directory = scratch(t)
  const script = 'kill -STOP $PPID; touch stopped; sleep 60'
  const file = writeConfig(directory, {
    server: { listen: '127.0.0.1:0', shutdownTimeout: '100ms' },
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { hook: { type: 'exec', command: ['/bin/sh', '-c', script], timeout: '1h' } },
    routes: [{ events: ['*'], to: ['hook'] }],
  })
  const relay = await startRelay(t, file)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => existsSync(join(directory, 'stopped')), 'the hook runs')
  t.match(await relay.end('SIGTERM'), { code: 0 })
  t.match(relay.log.at(-1), { msg: 'relay stopped' })
})
