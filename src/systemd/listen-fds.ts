import { fstatSync } from 'node:fs'
import { RelayError } from '../domain/errors.ts'

/** sd_listen_fds(3): the first that is handed over. */
const FIRST_FD = 3

/**
 * The socket that systemd, or whoever else speaks its protocol, holds for the process `pid`; undefined where there is
 * none. Throws `listen_failed` where what is handed over is not one socket.
 */
export function inheritedSocket(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env
  // Variables for another process, such as a parent that has not removed them, say nothing about this one.
  if (LISTEN_FDS === undefined || Number(LISTEN_PID) !== pid) return undefined
  if (!/^\d+$/.test(LISTEN_FDS)) throw refused(`LISTEN_FDS is not a number`)
  const count = Number(LISTEN_FDS)
  if (count === 0) return undefined
  if (count > 1) {
    const names = LISTEN_FDNAMES === undefined ? '' : ` (${LISTEN_FDNAMES.replaceAll(':', ', ')})`
    throw refused(
      `${count} sockets are handed over${names}, and the relay takes one: give the .socket unit one ListenStream=`,
    )
  }
  if (!isSocket(FIRST_FD)) throw refused(`descriptor ${FIRST_FD}, which LISTEN_FDS tells of, is no socket`)
  return FIRST_FD
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}

function refused(problem: string): RelayError {
  return new RelayError('listen_failed', `socket activation: ${problem}`)
}
