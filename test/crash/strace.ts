import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { eventually } from '../eventually.ts'

/** A system call as strace saw it. Where it stands in the trace is its time: what is before it happened before it. */
export interface SystemCall {
  readonly name: string
  /** What stands between the parentheses: files with their paths, and the bytes. */
  readonly args: string
  readonly startedAt: number
  endedAt: number
}

/** Whether there is an strace that may look at processes; else the reason for a test to be skipped. */
export function straceProblem(): string | null {
  const { status } = spawnSync('strace', ['-o', '/dev/null', '/bin/true'], { stdio: 'ignore' })
  return status === 0 ? null : 'needs the Debian package strace, and the right to trace processes'
}

/** Attaches strace to all threads of a process until it is detached, or the process ends. */
export async function attachStrace(t: Test, pid: number, options: readonly string[]) {
  const threads = () => readFileSync(`/proc/${pid}/status`, 'utf8').match(/^Threads:\s*(\d+)/m)![1]
  const strace = spawn('/usr/bin/env', ['strace', '-f', '-p', String(pid), ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => strace.kill())
  const ended = once(strace, 'close')
  let attached = 0
  createInterface(strace.stderr!).on('line', (line) => {
    if (/attached/.test(line)) attached += Number(line.match(/with (\d+) threads/)?.[1] ?? 1)
  })
  await eventually(() => attached >= Number(threads()), 'strace is attached')
  return {
    async detach() {
      strace.kill('SIGINT')
      await ended
    },
    ended,
  }
}

/** The calls in a trace that was written by `strace -f -o`, in the order in which they began. */
export function readTrace(path: string): SystemCall[] {
  const calls: SystemCall[] = []
  const unfinished = new Map<string, SystemCall>()
  for (const [at, line] of readFileSync(path, 'latin1').split('\n').entries()) {
    const resumed = line.match(/^(\d+) +<\.\.\. \w+ resumed>(.*)$/)
    const before = resumed && unfinished.get(resumed[1]!)
    if (before) {
      unfinished.delete(resumed![1]!)
      Object.assign(before, { args: before.args + resumed![2], endedAt: at })
      continue
    }
    const [, pid, name, args] = line.match(/^(\d+) +(\w+)\((.*)$/) ?? []
    if (pid === undefined) continue
    const call = { name: name!, args: args!, startedAt: at, endedAt: at }
    calls.push(call)
    if (!args!.endsWith('<unfinished ...>')) continue
    call.endedAt = Number.POSITIVE_INFINITY
    unfinished.set(pid, call)
  }
  return calls
}
