import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

t.test('secrets of the environment are not in /proc once the relay has started, and still used', async (t) => {
  const directory = scratch(t)
  const target = (marker: string) => ({
    type: 'exec',
    command: ['/bin/sh', '-c', `echo "$FOR_HOOK $TOKEN" > new; mv new ${marker}`],
    env: { TOKEN: '${TOKEN}' },
    passEnv: ['FOR_HOOK'],
  })
  const write = (marker: string) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: ['${WEBHOOK_SECRET:-${OLD_SECRET}}'] } },
      targets: { hook: target(marker) },
      routes: [{ events: ['*'], to: ['hook'] }],
    })
  const env = {
    WEBHOOK_SECRET: SECRET,
    OLD_SECRET: 'only-a-fallback',
    TOKEN: 'ümlaut-token',
    FOR_HOOK: 'passed-on',
    OTHER: 'not the relay’s',
  }
  const file = write('first')
  const relay = await startRelay(t, file, env)
  const environ = () => readFileSync(`/proc/${relay.process.pid}/environ`, 'utf8')
  const post = async () => t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 204)

  await post()
  await eventually(() => existsSync(join(directory, 'first')), 'the hook has run')
  t.equal(readFileSync(join(directory, 'first'), 'utf8'), 'passed-on ümlaut-token\n')
  for (const name of ['WEBHOOK_SECRET', 'OLD_SECRET', 'TOKEN', 'FOR_HOOK'] as const) {
    t.notOk(environ().includes(env[name]), `${name} is not shown`)
  }
  t.ok(environ().includes(`OTHER=${env.OTHER}`), 'what is not the relay’s is left alone')

  write('second')
  t.match(await runCommand(['reload', '--config', file], directory, env), { code: 0 })
  await post()
  await eventually(() => existsSync(join(directory, 'second')), 'the reload has its secrets')
  t.equal(readFileSync(join(directory, 'second'), 'utf8'), 'passed-on ümlaut-token\n')
})
