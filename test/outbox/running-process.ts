import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import type { Test } from 'tap'

/** A process that runs, and how an outbox would name it. */
export function runningProcess(t: Test): { child: ChildProcess; identity: string } {
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill('SIGKILL'))
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return { child, identity: [boot, readlinkSync('/proc/self/ns/pid'), child.pid, started].join('/') }
}
