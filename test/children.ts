import { readFileSync } from 'node:fs'

/** The processes that a process has started and that have not ended, as Linux lists them. */
export function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return list === '' ? [] : list.split(' ').map(Number)
}
