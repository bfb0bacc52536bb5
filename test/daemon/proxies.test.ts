import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { freePort } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED } from '../targets/self-signed.ts'
import { sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { SECRET } from './ultravox-sender.ts'

/** The address that the client of these tests comes from, told from the proxy's. */
const CLIENT = '127.0.0.77'

interface Place {
  readonly directory: string
  readonly port: number
  readonly relayPort: string
}

/** A proxy with the configuration that we ship, but for its addresses and certificate. */
interface Proxy {
  readonly program: string
  readonly args: (place: Place) => string[]
}

const nginx: Proxy = {
  program: 'nginx',
  args({ directory, port, relayPort }) {
    const site = readFileSync('config/proxies/nginx.conf', 'utf8')
      .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
      .replace(/ssl_certificate .*;/, `ssl_certificate ${directory}/cert.pem;`)
      .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${directory}/key.pem;`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${relayPort}`)
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((kind) => `${kind}_temp_path ${directory}/${kind};`)
      .join('\n')
    const main = `daemon off;\npid ${directory}/nginx.pid;\nerror_log stderr;\nevents {}\n`
    const user = process.getuid?.() === 0 ? 'user root;\n' : ''
    writeFileSync(join(directory, 'nginx.conf'), `${user}${main}http {\naccess_log off;\n${temporary}\n${site}}\n`)
    return ['-p', directory, '-c', join(directory, 'nginx.conf')]
  },
}

const caddy: Proxy = {
  program: 'caddy',
  args({ directory, port, relayPort }) {
    const site = readFileSync('config/proxies/Caddyfile', 'utf8')
      .replace('relay.example.com {', `https://localhost:${port} {\n\ttls ${directory}/cert.pem ${directory}/key.pem`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${relayPort}`)
    writeFileSync(join(directory, 'Caddyfile'), `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`)
    return ['run', '--adapter', 'caddyfile', '--config', join(directory, 'Caddyfile')]
  },
}

for (const proxy of [nginx, caddy]) {
  const there = spawnSync(proxy.program, ['-v']).error === undefined
  const skip = there ? false : `${proxy.program} is not installed`
  t.test(`behind ${proxy.program} events come in byte for byte, and their senders are known`, { skip }, async (t) => {
    const directory = scratch(t)
    writeFileSync(join(directory, 'cert.pem'), SELF_SIGNED.cert)
    writeFileSync(join(directory, 'key.pem'), SELF_SIGNED.key)
    const server = { listen: '127.0.0.1:0', trustProxy: ['127.0.0.1'] }
    const rest = { targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }
    const relay = await startRelay(t, writeConfig(directory, { sources, server, ...rest }))
    const port = await freePort()
    await start(t, proxy, { directory, port, relayPort: new URL(relay.origin).port }, port)

    const agent = new Agent({ connect: { ca: SELF_SIGNED.cert }, localAddress: CLIENT, pipelining: 0 })
    t.teardown(() => agent.close())
    const send = async (body: Buffer, secret: string) => {
      const signature = ultravoxHeaders([ultravoxKey(new Secret(secret))], body, Date.now())
      const answer = await request(`https://localhost:${port}/webhooks/ultravox`, {
        method: 'POST',
        // What a client claims is not believed.
        headers: ['content-type', 'application/json', 'x-forwarded-for', '8.8.8.8', ...signature],
        body,
        dispatcher: agent,
      })
      await answer.body.dump()
      return answer.statusCode
    }
    const filler = randomBytes(1_500_000).toString('base64')
    const body = Buffer.from(`{ "event":"call.ended",  "call": {"callId":"big", "n": 1.0, "filler":"${filler}"} }`)
    t.equal(await send(body, SECRET), 204)
    t.equal(await send(body, 'another'), 401)
    const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
    t.teardown(() => database.close())
    t.ok(body.equals(database.prepare('select body from event_bodies').pluck().get() as Buffer), 'byte for byte')
    const peerOfRefused = database.prepare('select peer from rejections').pluck()
    await eventually(() => peerOfRefused.get() !== undefined, 'the refusal, for whose record no answer waits')
    t.equal(peerOfRefused.get(), CLIENT)
  })
}

async function start(t: Test, { program, args }: Proxy, place: Place, port: number): Promise<ChildProcess> {
  const { directory } = place
  const env = { PATH: process.env.PATH, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory }
  const child = spawn(program, args(place), { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr!.on('data', (chunk) => {
    said += chunk
  })
  const ended = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`)
    return request(`https://127.0.0.1:${port}/`, { dispatcher: impatient }).then(
      ({ body }) => body.dump().then(() => true),
      () => false,
    )
  }, `${program} listens`)
  return child
}

const impatient = new Agent({ connect: { rejectUnauthorized: false, servername: 'localhost' }, pipelining: 0 })
