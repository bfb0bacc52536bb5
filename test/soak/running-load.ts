import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Sent } from './load.ts'

const LOAD = fileURLToPath(new URL('./load.js', import.meta.url))

/** Requests that are under way at most. */
export const MOST_UNDER_WAY = 64

export interface RunningLoad {
  /** From now on so many events a second (Infinity: as many as are taken); gives what was sent until now. */
  at(rate: number): Promise<Sent>
  end(): Promise<Sent>
}

/** Starts a process that sends numbered calls there, at first none. */
export function startLoad(t: Pick<Test, 'teardown'>, url: string, secret: string): RunningLoad {
  const command = ['-i', `PATH=${process.env.PATH}`, process.execPath, LOAD, url, secret, String(MOST_UNDER_WAY)]
  const child = spawn('/usr/bin/env', command, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  const answer = async () => JSON.parse((await answers.next()).value as string) as Sent
  return {
    at(rate) {
      child.stdin.write(`${rate}\n`)
      return answer()
    },
    end() {
      child.stdin.end()
      return answer()
    },
  }
}
