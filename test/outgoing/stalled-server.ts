import { once } from 'node:events'
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'
import type { Test } from 'tap'

/** Answers requests, but its thread sleeps until it is released, and then nothing accepts connections. */
const PROGRAM = `
  const { createServer } = require('node:net')
  const { parentPort, workerData } = require('node:worker_threads')
  const { address, port, flag } = workerData
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\\r\\ncontent-length: ' + address.length + '\\r\\n\\r\\n' + address))
  })
  server.listen({ host: address, port, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(new Int32Array(flag), 0, 0)
  })
`
/** Connections that a backlog of one holds: the kernel takes one more. */
const HELD = 2

/**
 * A server that does not answer SYNs, because nothing accepts the connections that fill its backlog. After `release`, the
 * next SYN of a client is answered: for one that is connecting this is the one repeated a second after the first.
 */
export async function stalledServer(t: Test, address: string, port = 0): Promise<{ port: number; release(): void }> {
  const flag = new SharedArrayBuffer(4)
  const worker = new Worker(PROGRAM, { eval: true, workerData: { address, port, flag } })
  const release = () => {
    Atomics.store(new Int32Array(flag), 0, 1)
    Atomics.notify(new Int32Array(flag), 0)
  }
  const [listeningPort] = (await once(worker, 'message')) as [number]
  const held = await Promise.all(
    Array.from({ length: HELD }, async () => {
      const socket = connect(listeningPort, address).on('error', () => {})
      await once(socket, 'connect')
      return socket
    }),
  )
  t.teardown(async () => {
    release()
    for (const socket of held) socket.destroy()
    await worker.terminate()
  })
  return { port: listeningPort, release }
}
