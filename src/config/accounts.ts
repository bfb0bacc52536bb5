import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A user of this machine. A number that no entry is known for has neither a group nor a home. */
export interface User {
  readonly uid: number
  readonly gid: number | null
  readonly home: string | null
}

const isNumber = (written: string) => /^\d+$/.test(written)

/** A user by name or number; undefined where there is none of this name. */
export function findUser(written: string): User | undefined {
  const [, , uid, gid, , home] = entryOf('passwd', written) ?? []
  if (uid !== undefined) return { uid: Number(uid), gid: Number(gid), home: home || null }
  return isNumber(written) ? { uid: Number(written), gid: null, home: null } : undefined
}

/** A group's number by name or number; undefined where there is none of this name. */
export function findGroup(written: string): number | undefined {
  if (isNumber(written)) return Number(written)
  const gid = entryOf('group', written)?.[2]
  return gid === undefined ? undefined : Number(gid)
}

function entryOf(database: 'passwd' | 'group', written: string): string[] | undefined {
  const column = isNumber(written) ? 2 : 0
  const lines = `${linesOfFile(database)}\n`.split('\n').map((line) => line.split(':'))
  const found = lines.find((fields) => fields[column] === written)
  // What is not in the file may be in a directory service (LDAP, systemd-homed), which `getent` asks.
  return found ?? getent(database, written)
}

function linesOfFile(database: string): string {
  try {
    return readFileSync(`/etc/${database}`, 'utf8')
  } catch {
    return ''
  }
}

function getent(database: string, written: string): string[] | undefined {
  try {
    const line = execFileSync('getent', [database, written], { encoding: 'utf8', stdio: 'pipe', timeout: 5_000 })
    return line.trim().split(':')
  } catch {
    return undefined
  }
}
