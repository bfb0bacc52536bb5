import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { commandsIn, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

const rest = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }

function write(directory: string, { cert, key }: { cert: string; key: string }) {
  writeFileSync(join(directory, 'cert.pem'), cert)
  writeFileSync(join(directory, 'key.pem'), key)
}

async function relayWithTls(t: Test, tls: Record<string, string> = {}) {
  const directory = scratch(t)
  write(directory, SELF_SIGNED)
  const server = { listen: '127.0.0.1:0', tls: { cert: './cert.pem', key: './key.pem', ...tls } }
  const relay = await startRelay(t, writeConfig(directory, { ...rest, server }))
  const port = Number(new URL(relay.origin).port)
  return { directory, relay, port, server, ...commandsIn(directory) }
}

/** The certificate that is shown, and the version of TLS that is spoken. */
async function shown(port: number, maxVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3') {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, minVersion: 'TLSv1', maxVersion })
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  const version = socket.getProtocol()
  socket.destroy()
  return { name: subject.CN, version }
}

t.test('webhooks are taken over HTTPS by the versions of TLS that are wanted, with what a reload brings', async (t) => {
  const { port, directory, server, relay, run } = await relayWithTls(t, { minVersion: 'TLSv1.3' })
  t.same(await shown(port), { name: 'localhost', version: 'TLSv1.3' })
  await t.rejects(shown(port, 'TLSv1.2'))
  // The commands that talk to the relay find it.
  writeConfig(directory, { ...rest, server: { ...server, listen: `127.0.0.1:${port}` } })
  t.match(await run('trigger call.ended --call-id over-tls'), { code: 0, stdout: /: 204 accepted$/m })
  t.match((await run('doctor')).stdout, /^ok +certificate +that of the public listener is good for \d+ days$/m)
  t.match((await run('doctor')).stdout, /^ok +daemon +process \d+ .+ answers on/m)

  // A reload takes over another certificate; TLS itself takes a restart.
  writeFileSync(join(directory, 'crm.pem'), SELF_SIGNED_CRM.cert)
  writeFileSync(join(directory, 'crm.key'), SELF_SIGNED_CRM.key)
  writeConfig(directory, { ...rest, server: { ...server, tls: { cert: 'crm.pem', key: 'crm.key' } } })
  t.equal((await run('reload')).code, 0)
  t.equal((await shown(port)).name, 'crm.internal')
  writeConfig(directory, { ...rest, server: { listen: server.listen } })
  t.match(await run('reload'), { code: 0 })
  t.equal((await shown(port)).name, 'crm.internal', 'still HTTPS')
  t.equal((await relay.end('SIGTERM')).code, 0)
})

t.test('a renewed certificate is shown without a restart, and a broken one is not', { timeout: 60_000 }, async (t) => {
  const { port, directory, relay } = await relayWithTls(t)
  // The key is not that of the certificate: half done.
  writeFileSync(join(directory, 'cert.pem'), SELF_SIGNED_CRM.cert)
  const said = (msg: RegExp) => eventually(() => relay.log.some((line) => msg.test(line.msg)), String(msg))
  await said(/renewed certificate cannot be used/)
  t.equal((await shown(port)).name, 'localhost')
  writeFileSync(join(directory, 'next.pem'), SELF_SIGNED_CRM.key)
  renameSync(join(directory, 'next.pem'), join(directory, 'key.pem'))
  await said(/^certificate renewed$/)
  t.equal((await shown(port)).name, 'crm.internal')
})

t.test('a certificate that cannot be used is told before the start', async (t) => {
  const directory = scratch(t)
  write(directory, { cert: SELF_SIGNED.cert, key: SELF_SIGNED_CRM.key })
  const { run } = commandsIn(directory)
  const check = async (tls: Record<string, string>) => {
    writeConfig(directory, { ...rest, server: { listen: '127.0.0.1:0', tls } })
    return run('check')
  }
  t.match(await check({ cert: 'cert.pem', key: 'key.pem' }), {
    code: 2,
    stderr: /server\.tls\.key: does not belong to/,
  })
  t.match(await check({ cert: 'key.pem', key: 'key.pem' }), { code: 2, stderr: /server\.tls\.cert: holds no sound/ })
  t.match(await check({ cert: 'cert.pem', key: 'none.pem' }), { code: 2, stderr: /server\.tls\.key: .*there is none/ })
  t.match(await check({ cert: 'cert.pem' }), { code: 2, stderr: /server\.tls\.key: is missing/ })
})
