import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { inheritedSocket } from '../../src/systemd/listen-fds.ts'
import { sink, sources } from '../daemon/operator-commands.ts'
import { MAIN, writeConfig } from '../daemon/relay-process.ts'
import { freePort, listening } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { restartUnderLoad } from './restarts.ts'

/** Twenty of them are among the faults. */
const RESTARTS = 3

t.test('on a socket that systemd holds, no request fails while the relay is restarted under load', async (t) => {
  const { port, answers, started, stopped, stored } = await restartUnderLoad(t, RESTARTS)
  t.same([...new Set(answers)], [204], `${answers.length} requests`)
  t.same([...new Set(started)], [`127.0.0.1:${port}`], 'and it says where it listens')
  t.equal(started.length, RESTARTS + 1)
  t.equal(stopped, RESTARTS + 1, 'each ended in good order')
  t.equal(stored, answers.length)
})

t.test('only what is meant for this process is taken, and only one socket', async (t) => {
  t.equal(inheritedSocket({}, 7), undefined)
  t.equal(inheritedSocket({ LISTEN_FDS: '1', LISTEN_PID: '8' }, 7), undefined, 'for another process')
  t.equal(inheritedSocket({ LISTEN_FDS: '1' }, 7), undefined, 'for nobody')
  t.equal(inheritedSocket({ LISTEN_FDS: '0', LISTEN_PID: '7' }, 7), undefined)
  const refusal = (env: NodeJS.ProcessEnv) => {
    try {
      return inheritedSocket({ LISTEN_PID: '7', ...env }, 7)
    } catch (error) {
      return (error as Error).message
    }
  }
  t.match(
    refusal({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'web:admin' }),
    /2 sockets are handed over \(web, admin\).* one ListenStream=/,
  )
  t.match(refusal({ LISTEN_FDS: 'x' }), /LISTEN_FDS is not a number/)
})

/** Node has no other way to get at it. */
function descriptorOf(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd
}

/** Runs a relay with this as its descriptor 3; to its end, which comes soon. */
async function startWith(file: string, descriptor: number | 'ignore' | 'pipe') {
  const script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
  const child = spawn(
    '/usr/bin/env',
    [
      '-i',
      `PATH=${process.env.PATH}`,
      '/bin/sh',
      '-c',
      script,
      'sh',
      process.execPath,
      MAIN,
      'serve',
      '--config',
      file,
    ],
    { stdio: ['ignore', 'ignore', 'pipe', descriptor] },
  )
  let stderr = ''
  child.stderr!.on('data', (chunk) => {
    stderr += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr }
}

t.test('a descriptor that is no TCP socket is refused with what to write', async (t) => {
  const file = writeConfig(scratch(t), {
    sources,
    targets: { archive: sink },
    routes: [{ events: ['*'], to: ['archive'] }],
  })
  const none = await startWith(file, 'ignore')
  t.equal(none.code, 1)
  t.match(none.stderr, /descriptor 3, which LISTEN_FDS tells of, is no socket/)
  // What Node calls a pipe is one end of a pair of unix sockets.
  const pair = await startWith(file, 'pipe')
  t.equal(pair.code, 1)
  t.match(pair.stderr, /cannot listen on the inherited socket 3/)
})

t.test('a socket that is another than the configuration says is refused', async (t) => {
  const directory = scratch(t)
  const config = { sources, targets: { archive: sink }, routes: [{ events: ['*'], to: ['archive'] }] }
  const file = writeConfig(directory, { ...config, server: { listen: '127.0.0.1:1' } })
  const { server, port } = await listening(t, createServer())
  const tcp = await startWith(file, descriptorOf(server))
  t.equal(tcp.code, 2)
  t.match(tcp.stderr, `the inherited socket is 127.0.0.1:${port}, and server.listen 127.0.0.1:1: write the same`)

  const local = createServer().listen(join(directory, 'socket'))
  await once(local, 'listening')
  t.teardown(() => local.close())
  const unix = await startWith(file, descriptorOf(local))
  t.equal(unix.code, 2)
  t.match(unix.stderr, 'the inherited socket is none of TCP, and server.listen 127.0.0.1:1: write the same')
})

const noActivator =
  spawnSync('systemd-socket-activate', ['--version']).error !== undefined && 'no systemd-socket-activate'

t.test('started by the first request, it answers it', { skip: noActivator }, async (t) => {
  const file = writeConfig(scratch(t), {
    sources,
    targets: { archive: sink },
    routes: [{ events: ['*'], to: ['archive'] }],
  })
  const port = await freePort()
  const args = ['-l', `127.0.0.1:${port}`, process.execPath, MAIN, 'serve', '--config', file]
  const activator = spawn('/usr/bin/env', ['-i', `PATH=${process.env.PATH}`, 'systemd-socket-activate', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => activator.kill('SIGKILL'))
  await once(createInterface(activator.stderr!), 'line')
  const client = connect(port, '127.0.0.1').setEncoding('utf8')
  client.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const [answer] = (await once(client, 'data')) as [string]
  t.match(answer, /^HTTP\/1\.1 200/)
  activator.kill('SIGTERM')
  t.same(await once(activator, 'exit'), [0, null], 'and ends in good order, even if it was not quite there yet')
})
