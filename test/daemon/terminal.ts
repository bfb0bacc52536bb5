import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { MAIN } from './relay-process.ts'

/** A command that has been started and goes on. */
export interface Running {
  readonly output: () => string
  /** Ctrl-C; resolves with the status that it ends with. */
  interrupt(): Promise<number | null>
}

/** Starts a command of the real binary with its output in a pipe. */
export function startCommand(t: Test, line: string, directory: string): Running {
  return running(t, spawn(process.execPath, [MAIN, ...line.split(' ')], options(directory)), (child) => {
    child.kill('SIGINT')
  })
}

/** Starts one at a terminal of its own, of this size (util-linux's `script` makes it). */
export function startAtTerminal(t: Test, line: string, directory: string, columns: number, rows: number): Running {
  const command = `stty cols ${columns} rows ${rows}; exec '${process.execPath}' '${MAIN}' ${line}`
  return running(t, spawn('script', ['-qec', command, '/dev/null'], options(directory)), (child) => {
    child.stdin!.write('\u0003')
  })
}

function options(cwd: string) {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, TERM: 'xterm' }
  return { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'] }
}

function running(t: Test, child: ChildProcess, interrupt: (child: ChildProcess) => void): Running {
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const ended = once(child, 'close') as Promise<[number | null]>
  return {
    output: () => output,
    async interrupt() {
      interrupt(child)
      return (await ended)[0]
    },
  }
}
