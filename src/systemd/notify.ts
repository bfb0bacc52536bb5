import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { errorMessage } from '../domain/errors.ts'

/** Tells the service manager such assignments as `READY=1`, together. Resolves when it has them, or cannot have them. */
export type Notify = (...assignments: string[]) => Promise<void>

const run = promisify(execFile)

/** systemd-notify waits for systemd to have taken what it sends; a systemd that does not is not waited for any longer. */
const PATIENCE_MS = 10_000

/**
 * What tells the service manager that $NOTIFY_SOCKET leads to, one message after the other; undefined where there is none.
 * It is a datagram socket of the unix kind, which Node cannot send to: `systemd-notify` does, as a process of some
 * milliseconds (abstract addresses too, which the package node-unix-socket could not). `failed` is told of each failure.
 */
export function createNotify(env: NodeJS.ProcessEnv, failed: (problem: string) => void): Notify | undefined {
  if (!env.NOTIFY_SOCKET) return undefined
  let last = Promise.resolve()
  return (...assignments) => {
    last = last.then(() => send(assignments, env)).catch((error) => failed(problemOf(error)))
    return last
  }
}

async function send(assignments: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  // Nothing else of the relay's environment: that holds secrets.
  const { PATH, NOTIFY_SOCKET } = env
  const options = { env: { PATH, NOTIFY_SOCKET }, timeout: PATIENCE_MS, killSignal: 'SIGKILL' } as const
  await run('systemd-notify', ['--', ...assignments], options)
}

function problemOf(error: unknown): string {
  const { code, killed } = error as { code?: unknown; killed?: boolean }
  if (code === 'ENOENT') return 'there is no program systemd-notify in the PATH'
  return killed === true ? `systemd-notify took longer than ${PATIENCE_MS / 1_000} s` : errorMessage(error)
}
