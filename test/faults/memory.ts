import { readFileSync } from 'node:fs'

/** What a process has in memory now, and has had at most, in megabytes. */
export function memoryOf(pid: number): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (name: string) => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)![1]) / 1024)
  return { now: megabytes('VmRSS'), most: megabytes('VmHWM') }
}
