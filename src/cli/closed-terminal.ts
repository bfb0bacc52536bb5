import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { isatty } from 'node:tty'

/**
 * Lets the process end with its own status though its terminal was closed meanwhile. As it ends, Node 20 sets the terminal's
 * modes again and aborts if it cannot; it leaves descriptors alone that are no longer what they were at the start.
 */
export function leaveClosedTerminals(): void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd))
  process.once('exit', () => {
    for (const fd of terminals) {
      if (isatty(fd)) continue
      closeSync(fd)
      // Gets the lowest free number, which is the one just closed.
      openSync(devNull, 'r+')
    }
  })
}
