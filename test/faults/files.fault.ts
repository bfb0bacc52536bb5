import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runRelay, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { hungMount } from '../hung-mount.ts'
import { scratch } from '../scratch.ts'

t.test('a reload from a mount that does not answer is rejected with the file, and the next one succeeds', async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, 'needs root and /dev/fuse')
  const directory = scratch(t)
  const write = (source: object) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', ...source } },
      targets: { crm: { type: 'exec', command: ['true'] } },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
  const file = write({ secrets: [SECRET] })
  const relay = await startRelay(t, file)
  const hung = join(mount.directory, 'ultravox.secrets')
  write({ secretsFile: hung })
  relay.process.kill('SIGHUP')
  const problem = new RegExp(
    `${hung} has not answered for 10 s.*\\(fuse file system at ${mount.directory}, from hung\\)`,
  )
  const isRejected = () => relay.log.some(({ msg }) => msg === 'configuration not reloaded, the old one stays')
  const slowest = { ms: 0, sent: 0 }
  while (!isRejected()) {
    const before = performance.now()
    const { status } = await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', `call-${slowest.sent++}`))
    if (status !== 204) t.fail(`answered ${status}`)
    slowest.ms = Math.max(slowest.ms, performance.now() - before)
  }
  t.comment(`${slowest.sent} events acknowledged meanwhile, the slowest after ${Math.round(slowest.ms)} ms`)
  t.match(JSON.stringify(relay.log), problem)

  const secret = 'whsec_of_the_file_that_answers'
  writeFileSync(join(directory, 'secrets'), `${secret}\n`, { mode: 0o600 })
  write({ secretsFile: './secrets' })
  t.match(await runRelay(['reload', '--config', file], directory), { code: 0 })
  const { status } = await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', 'last'), { secret })
  t.equal(status, 204)
  t.match(await relay.end('SIGTERM'), { code: 0 })
})
