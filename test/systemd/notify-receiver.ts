import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'

/** A datagram as systemd would get it. */
export interface Received {
  /** When it came, by CLOCK_MONOTONIC. */
  readonly usec: number
  readonly lines: readonly string[]
}

/** Node cannot receive datagrams on a unix socket; Python can. "@name" is an abstract address, as in $NOTIFY_SOCKET. */
const RECEIVER = `
import json, socket, sys, time
address = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\\0" + address[1:] if address.startswith("@") else address)
print("receiving", flush=True)
while True:
    text = receiver.recv(65536).decode()
    print(json.dumps({"usec": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, "text": text}), flush=True)
`

const missing = ['python3', 'systemd-notify'].filter((name) => spawnSync(name, ['--version']).error !== undefined)

/** Why there can be no receiver here; false where there can. */
export const noReceiver = missing.length > 0 && `not installed: ${missing.join(', ')}`

/** Receives what is sent to `address`, but for the barriers by which systemd-notify waits. */
export async function receiveAt(t: Test, address: string): Promise<Received[]> {
  const child: ChildProcess = spawn('python3', ['-c', RECEIVER, address], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const received: Received[] = []
  const output = createInterface(child.stdout!)
  await once(output, 'line')
  output.on('line', (line) => {
    const { usec, text } = JSON.parse(line) as { usec: number; text: string }
    if (text !== 'BARRIER=1') received.push({ usec, lines: text.split('\n').filter(Boolean) })
  })
  return received
}
