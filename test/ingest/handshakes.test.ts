import { once } from 'node:events'
import type { Server as TlsServer } from 'node:https'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { queueHandshakes } from '../../src/ingest/handshakes.ts'
import { peerAt } from '../../src/ingest/peer.ts'
import { eventually } from '../eventually.ts'
import { connect } from './raw-http.ts'

/** A server whose handshakes are only noted, by their clients' addresses. */
async function noting(t: Test, timeoutMs: number) {
  const begun: string[] = []
  const received: string[] = []
  const server = createServer((socket) => {
    begun.push(socket.remoteAddress!)
    received.push(String(socket.read()))
    socket.destroy()
  })
  const peerOf = ({ remoteAddress }: Socket) => peerAt(remoteAddress ?? '') ?? undefined
  queueHandshakes(server as unknown as TlsServer, { peerOf }, timeoutMs)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const open = async (from: string) => {
    const connection = await connect(port, from)
    t.teardown(() => connection.end())
    return connection
  }
  return { begun, received, open, server }
}

t.test('a client that asks for many handshakes at once keeps no other client waiting', async (t) => {
  const { begun, received, open } = await noting(t, 10_000)
  const many = []
  for (let n = 0; n < 300; n += 1) many.push(await open('127.0.0.2'))
  const genuine = await open('127.0.0.3')
  for (const connection of many) connection.write('hello')
  genuine.write('hello')
  await eventually(() => begun.length === 301, 'all have their turn')
  const turn = begun.indexOf('127.0.0.3')
  t.ok(turn < 200, `after ${turn} of them`)
  t.ok(received.every((bytes) => bytes === 'hello'))
})

t.test('a client that sends nothing is closed after a while, and one that breaks off is forgotten', async (t) => {
  const { begun, open } = await noting(t, 200)
  const silent = await open('127.0.0.2')
  const broken = await open('127.0.0.2')
  broken.socket.resetAndDestroy()
  await silent.closed
  t.same(begun, [])
  const late = await open('127.0.0.2')
  late.write('hello')
  await late.closed
  t.same(begun, ['127.0.0.2'])
})
