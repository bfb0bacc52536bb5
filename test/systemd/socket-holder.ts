import { spawnSync } from 'node:child_process'
import { writeSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'

/**
 * Holds a listening socket as systemd would, and runs what it is given with it, one time after the other: first argument
 * how often, the others the program. Says `{"port": …}`, and before each run `{"pid": …}`. It never accepts a connection
 * itself, for its event loop never turns.
 */
export const SOCKET_HOLDER = fileURLToPath(import.meta.url)

/** Node has no other way to get at the descriptor. */
interface Listening {
  readonly _handle: { readonly fd: number }
}

if (process.argv[1] === SOCKET_HOLDER) {
  const [times, ...program] = process.argv.slice(2)
  const server = createServer()
  server.listen(0, '127.0.0.1', () => {
    hold(server, Number(times), program)
    process.exit(0)
  })
}

function hold(server: Server, times: number, program: readonly string[]): void {
  const { port } = server.address() as AddressInfo
  const { fd } = (server as unknown as Listening)._handle
  writeSync(1, `${JSON.stringify({ port })}\n`)
  // LISTEN_PID has to be the pid of what is run, which only a process in its place can know.
  const script = 'echo "{\\"pid\\": $$}"; LISTEN_PID=$$ exec "$@"'
  for (let run = 0; run < times; run++) {
    spawnSync('/bin/sh', ['-c', script, 'sh', ...program], {
      env: { ...process.env, LISTEN_FDS: '1' },
      stdio: ['ignore', 'inherit', 'inherit', fd],
    })
  }
}
