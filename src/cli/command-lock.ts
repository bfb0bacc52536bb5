import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { RelayError } from '../domain/errors.ts'

const LOOK_MS = 100
/** How long another command of the kind may take. */
const PATIENCE_MS = 30_000

/**
 * Runs `work` while no other command of this name runs on this machine, where the system lets us know: the lock is a
 * socket in Linux's abstract namespace, so it leaves no file behind and ends with the process, however that ends. With
 * 'refuse' throws `usage` at once where another runs, with 'wait' after half a minute. Elsewhere, and between containers,
 * there is no lock, and `work` must hold without it.
 */
export async function withCommandLock<T>(name: string, other: 'wait' | 'refuse', work: () => Promise<T>): Promise<T> {
  const lock = await taken(name, other === 'wait' ? PATIENCE_MS : 0)
  try {
    return await work()
  } finally {
    lock?.close()
  }
}

async function taken(name: string, patienceMs: number): Promise<Server | null> {
  if (process.platform !== 'linux') return null
  const path = `\0ultravox-relay ${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const server = createServer((socket) => socket.destroy())
    server.unref()
    try {
      await once(server.listen(path), 'listening')
      return server
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return null
    }
    if (waitedMs >= patienceMs) {
      const [command] = name.split(' ')
      throw new RelayError(
        'usage',
        `another webhooks ${command} is running on this machine: end it, or wait for its end`,
      )
    }
    await sleep(LOOK_MS)
  }
}
