import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, renameSync, writeFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import t, { type Test } from 'tap'
import { parseExposition } from '../admin/exposition.ts'
import { INTERMEDIATE, LEAF, LEAF_KEY, RENEWED, RENEWED_KEY, ROOT } from '../config/trial-chain.ts'
import { eventually } from '../eventually.ts'
import { tcpServer } from '../local-server.ts'
import { asOtherUser, OTHER } from '../other-user.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED, SELF_SIGNED_CRM } from '../targets/self-signed.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, sink, sources } from './operator-commands.ts'
import { MAIN, startRelay, writeConfig } from './relay-process.ts'

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
  const { port, directory, relay, run, server } = await relayWithTls(t)
  // The key is not that of the certificate: half done.
  writeFileSync(join(directory, 'cert.pem'), SELF_SIGNED_CRM.cert)
  const said = (msg: RegExp) => eventually(() => relay.log.some((line) => msg.test(line.msg)), String(msg))
  await said(/renewed certificate cannot be used/)
  t.equal((await shown(port)).name, 'localhost')
  // A reload at this moment is rejected as a whole. The watch goes on.
  t.match(await run('reload'), { code: 2, stderr: /server\.tls\.key: does not belong/ })
  t.equal((await shown(port)).name, 'localhost')
  writeFileSync(join(directory, 'next.pem'), SELF_SIGNED_CRM.key)
  renameSync(join(directory, 'next.pem'), join(directory, 'key.pem'))
  await said(/^certificate renewed$/)
  t.equal((await shown(port)).name, 'crm.internal')
  // That takes a restart, so the certificate stays as it is: renewed.
  writeConfig(directory, { ...rest, server: { listen: server.listen } })
  t.match(await run('reload'), { code: 0 })
  t.equal((await shown(port)).name, 'crm.internal', 'after a reload without server.tls')
})

/** The first bytes that a TLS client sends. */
async function clientHello(t: Test, options: ConnectionOptions = {}): Promise<Buffer> {
  const { port, server } = await tcpServer(t, () => {})
  const sent = new Promise<Buffer>((resolve) => {
    server.once('connection', (socket: Socket) => socket.once('data', resolve))
  })
  const client = connect({ host: '127.0.0.1', port, ...options }).on('error', () => {})
  const hello = await sent
  client.destroy()
  return hello
}

/** Sends bytes in turn, each after the first was answered, and waits for the end of the connection. */
async function send(port: number, ...parts: (Buffer | string)[]): Promise<void> {
  const socket = connectTcp(port, '127.0.0.1').on('error', () => {})
  for (const [index, part] of parts.entries()) {
    if (index > 0) await once(socket, 'data')
    socket.write(part)
  }
  socket.resume()
  await once(socket, 'close')
}

t.test('what is served is known: its end, failed handshakes, and a renewal that cannot be loaded', async (t) => {
  const directory = scratch(t)
  chmodSync(directory, 0o755)
  write(directory, { cert: LEAF + INTERMEDIATE + ROOT, key: LEAF_KEY })
  const server = { listen: '127.0.0.1:0', tls: { cert: './cert.pem', key: './key.pem' } }
  writeFileSync(join(directory, 'ca.pem'), ROOT)
  const erp = { type: 'http', url: 'https://127.0.0.1:1/', tls: { ca: './ca.pem' } }
  const file = writeConfig(directory, {
    ...rest,
    targets: { crm: sink, erp },
    routes: [{ events: ['*'], to: ['crm', 'erp'] }],
    server,
    admin: { listen: '127.0.0.1:0' },
  })
  // The relay is another user, so that there are files that only the commands can read.
  const canBeOther = asOtherUser(process.execPath, MAIN).skip === false
  if (canBeOther) for (const path of ['.', 'key.pem']) chownSync(join(directory, path), OTHER, OTHER)
  const relay = await startRelay(t, file, {}, canBeOther ? OTHER : undefined)
  const port = Number(new URL(relay.origin).port)
  const { run, json } = commandsIn(directory)
  const admin = adminClient(adminAddress(relay))
  const metrics = async () => parseExposition((await admin.get('/metrics')).text)

  const alert = (number: number) => Buffer.from([0x15, 3, 3, 0, 2, 2, number])
  const hello = await clientHello(t)
  const failures: Record<string, () => Promise<unknown>> = {
    unknown_ca: () => send(port, hello, alert(48)),
    certificate_expired: () => send(port, hello, alert(45)),
    certificate_rejected: () => send(port, hello, alert(42)),
    no_shared_cipher: async () => {
      const ciphers = 'ECDHE-RSA-AES128-GCM-SHA256'
      return send(port, await clientHello(t, { maxVersion: 'TLSv1.2', ciphers }))
    },
    protocol_version: async () => {
      return send(
        port,
        await clientHello(t, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
      )
    },
    no_shared_protocol: async () => send(port, await clientHello(t, { ALPNProtocols: ['h2'] })),
    plain_http: () => send(port, 'POST /webhooks/ultravox HTTP/1.1\r\nHost: relay\r\n\r\n'),
    not_tls: () => send(port, 'PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n'),
    disconnected: async () => {
      const socket = connectTcp(port, '127.0.0.1').on('error', () => {})
      socket.write(hello)
      await once(socket, 'data')
      socket.resetAndDestroy()
    },
  }
  for (const [reason, fail] of Object.entries(failures)) {
    await fail()
    await eventually(async () => {
      const counted = (await metrics()).value('ultravox_relay_tls_handshakes_failed_total', { reason })
      return counted === 1
    }, reason)
  }
  const lines = () => relay.log.filter(({ msg }) => msg === 'tls handshake failed')
  const logged = Object.keys(failures).filter((reason) => reason !== 'disconnected')
  await eventually(() => lines().length === logged.length, 'logged')
  t.same(
    lines().map(({ reason }) => reason),
    logged,
  )
  t.match(lines()[0], { level: 'warn', peer: '127.0.0.1', problem: /UNKNOWN_CA/, hint: /fullchain\.pem/ })
  t.match(
    lines().find(({ reason }) => reason === 'plain_http'),
    { hint: /https:\/\// },
  )
  for (let n = 0; n < 10; n += 1) await failures.plain_http!()
  const plain = { reason: 'plain_http' }
  const counted = async () => (await metrics()).value('ultravox_relay_tls_handshakes_failed_total', plain)
  await eventually(async () => (await counted()) === 11, 'all are counted')
  await eventually(() => lines().length >= logged.length + 2, 'some are logged')
  t.equal(lines().length, logged.length + 2, 'and no more')

  const end = Date.UTC(2120, 0, 1)
  t.equal((await metrics()).value('ultravox_relay_certificate_not_after_timestamp_seconds'), end / 1_000)
  t.equal((await metrics()).value('ultravox_relay_certificate_reload_failed'), 0)
  const certificate = {
    subject: 'relay.example.com',
    notAfter: '2120-01-01T00:00:00.000Z',
    lifetime: 'valid',
    problem: null,
  }
  t.match((await admin.get('/api/status')).json(), { certificate })
  t.match(await json('status'), { certificate })
  t.match((await run('status')).stdout, /^tls +serves the certificate of relay\.example\.com, valid until 2120-01-01/m)

  writeFileSync(join(directory, 'ca.pem'), INTERMEDIATE)
  if (canBeOther) {
    write(directory, { cert: RENEWED, key: RENEWED_KEY })
    chownSync(join(directory, 'key.pem'), 0, 0)
    chmodSync(join(directory, 'key.pem'), 0o600)
    await eventually(
      async () => (await metrics()).value('ultravox_relay_certificate_reload_failed') === 1,
      'not loaded',
    )
  }
  const { checks } = JSON.parse((await run('doctor --json')).stdout)
  const broken = { reason: 'disconnected' }
  const handshakes = (await metrics()).value('ultravox_relay_tls_handshakes_failed_total', broken)
  t.equal(handshakes, 1, 'those of status and doctor do not fail')
  const about = (each: string) => checks.filter(({ name }: { name: string }) => name === each)
  t.match(about('certificate')[0], { level: 'ok', message: /^that of the public listener is good for \d+ days$/ })
  const stale = { level: 'warning', message: /ca\.pem changed after the relay loaded it/, advice: /reload/ }
  t.match(about('target erp'), [stale, { level: 'problem' }])
  if (!canBeOther) return
  const kept = /cert\.pem holds another certificate \(until 2120-01-01T00:00:00.000Z\), which is not served/
  t.match(about('certificate')[1], { level: /warning|problem/, message: kept })
  t.match(await json('status'), { certificate: { problem: kept } })
  const inUse = async () => (await admin.get('/api/status')).json().certificate as Record<string, unknown>
  const { problem, fingerprint } = await inUse()
  t.match(problem, /key: .*permission denied/)
  t.equal(fingerprint, new X509Certificate(LEAF).fingerprint256)
  chmodSync(join(directory, 'key.pem'), 0o644)
  await eventually(async () => (await metrics()).value('ultravox_relay_certificate_reload_failed') === 0, 'loaded')
  t.match(await inUse(), { problem: null, fingerprint: new X509Certificate(RENEWED).fingerprint256 })
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
