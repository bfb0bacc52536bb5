import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { eventually } from '../eventually.ts'
import { freePort } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { SELF_SIGNED } from '../targets/self-signed.ts'

export interface Place {
  readonly directory: string
  readonly port: number
  readonly relayPort: string
  /** In place of the time for which the shipped configuration keeps idle connections. */
  readonly keepalive: string
}

/** A proxy with the configuration that we ship, but for its addresses and certificate. */
export interface Proxy {
  readonly program: string
  readonly args: (place: Place) => string[]
}

const nginx: Proxy = {
  program: 'nginx',
  args({ directory, port, relayPort, keepalive }) {
    const site = readFileSync('config/proxies/nginx.conf', 'utf8')
      .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
      .replace(/ssl_certificate .*;/, `ssl_certificate ${directory}/cert.pem;`)
      .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${directory}/key.pem;`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${relayPort}`)
      .replace(`keepalive_timeout ${SHIPPED_KEEPALIVE};`, `keepalive_timeout ${keepalive};`)
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
  args({ directory, port, relayPort, keepalive }) {
    const site = readFileSync('config/proxies/Caddyfile', 'utf8')
      .replace('relay.example.com {', `https://localhost:${port} {\n\ttls ${directory}/cert.pem ${directory}/key.pem`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${relayPort}`)
      .replace(`keepalive ${SHIPPED_KEEPALIVE}`, `keepalive ${keepalive}`)
    writeFileSync(join(directory, 'Caddyfile'), `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`)
    return ['run', '--adapter', 'caddyfile', '--config', join(directory, 'Caddyfile')]
  },
}

/** How long both shipped configurations keep idle connections to the relay. */
export const SHIPPED_KEEPALIVE = '60s'

export const PROXIES = [nginx, caddy].map((proxy) => {
  const there = spawnSync(proxy.program, ['-v']).error === undefined
  return { proxy, skip: there ? false : `${proxy.program} is not installed` }
})

/** Starts a proxy in front of a relay's port; gives its own, over HTTPS with `SELF_SIGNED`. */
export async function startProxy(
  t: Test,
  proxy: Proxy,
  relayPort: string,
  keepalive = SHIPPED_KEEPALIVE,
): Promise<number> {
  const directory = scratch(t)
  writeFileSync(join(directory, 'cert.pem'), SELF_SIGNED.cert)
  writeFileSync(join(directory, 'key.pem'), SELF_SIGNED.key)
  const port = await freePort()
  await start(t, proxy, { directory, port, relayPort, keepalive }, port)
  return port
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
