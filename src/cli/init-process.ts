import { accessSync, constants } from 'node:fs'

const SHELL = '/bin/sh'

/** Set for a relay that an init of its own has started. */
const UNDER_INIT = 'ULTRAVOX_RELAY_INIT'

/**
 * What an init does for one program: passes signals on, reaps whatever is handed to it, and ends as the program does. A terminal
 * sends Ctrl-C to the program itself, and a second one would end it at once.
 */
const INIT = `
"$@" & child=$!
for signal in TERM HUP USR1 USR2; do trap "kill -$signal $child 2>/dev/null" "$signal"; done
if [ -t 0 ]; then trap : INT; else trap "kill -INT $child 2>/dev/null" INT; fi
while :; do
  wait "$child"; status=$?
  kill -0 "$child" 2>/dev/null && continue
  wait "$child"; last=$?
  [ "$last" = 127 ] || status=$last
  exit "$status"
done
`

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => void

/**
 * Starts this program again under an init where it is process 1 itself, as in a container: what hooks leave behind is then its
 * child, and Node waits for no child that it has not started, so that each would stay as a zombie. Does not return in that
 * case. False where that is not possible: Node before 22.15, no shell, or a socket that is meant for process 1.
 */
export function startUnderInit(): boolean {
  if (process.pid !== 1) return true
  const { execve } = process as { execve?: Execve }
  if (execve === undefined || process.env.LISTEN_FDS !== undefined) return false
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  try {
    // process.execve reports failures by ending the process, so it is looked for what it would fail for.
    accessSync(SHELL, constants.X_OK)
  } catch {
    return false
  }
  execve.call(process, SHELL, ['sh', '-c', INIT, 'sh', ...program], { ...process.env, [UNDER_INIT]: '1' })
  return false
}

/** The process that the environment was handed on by, if it is an init of the relay's own. */
export function ownInit(): number | undefined {
  return process.env[UNDER_INIT] === '1' && process.ppid === 1 ? 1 : undefined
}
