import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** A credential whose source is not what the service was started with. */
export interface CredentialChange {
  /** As in `${credential:NAME}`. */
  readonly name: string
  /** The file that `LoadCredential=` names, or one in the directory that it names. */
  readonly source: string
  readonly change: 'changed' | 'added' | 'removed'
}

/** The credentials of a running service. systemd copies them when it starts the service, and at no other time. */
export interface ServiceCredentials {
  /** Such as `ultravox-relay.service`. */
  readonly unit: string
  /** Null where this user may not read the copies or their sources. */
  readonly changes: readonly CredentialChange[] | null
}

/** An entry of `LoadCredential=` or `LoadCredentialEncrypted=`. */
export interface CredentialSource {
  readonly id: string
  readonly path: string
  /** Its content says nothing; its time does. */
  readonly isEncrypted: boolean
}

const BUSCTL_MS = 5_000
const OBJECT = '/org/freedesktop/systemd1/unit/'
/** Where systemd looks for a source that is not an absolute path. See systemd.exec(5). */
const STORES = ['/etc', '/run', '/usr/local/lib', '/usr/lib']

/**
 * Compares the credentials of the service that a process belongs to with their sources. `startedAt`: of the process, in epoch
 * milliseconds. Null where it is not a systemd service with credentials, as far as can be seen from here.
 */
export function serviceCredentials(pid: number, startedAt: number): ServiceCredentials | null {
  const unit = unitOf(pid)
  const directory = credentialsDirectory(pid)
  if (unit === undefined || directory === undefined) return null
  try {
    return { unit, changes: changedCredentials(directory, sourcesOf(unit), startedAt) }
  } catch {
    return { unit, changes: null }
  }
}

/** $CREDENTIALS_DIRECTORY of the service that a process belongs to; undefined where it has none. */
export function credentialsDirectory(pid: number): string | undefined {
  const unit = unitOf(pid)
  const directory = `/run/credentials/${unit}`
  return unit !== undefined && existsSync(directory) ? directory : undefined
}

/** Compares the files in `directory` with their sources, by content. Throws errors of `node:fs` where something may not be read. */
export function changedCredentials(
  directory: string,
  sources: readonly CredentialSource[],
  startedAt: number,
): CredentialChange[] {
  const copies = new Set(readdirSync(directory))
  return sources.flatMap(({ id, path, isEncrypted }) => {
    const files = filesOf(id, path)
    const changed = files.flatMap(({ name, source }): CredentialChange[] => {
      if (!copies.has(name)) return [{ name, source, change: 'added' }]
      const isSame = isEncrypted
        ? statSync(source).mtimeMs <= startedAt
        : readFileSync(source).equals(readFileSync(join(directory, name)))
      return isSame ? [] : [{ name, source, change: 'changed' }]
    })
    const known = new Set(files.map(({ name }) => name))
    const isOf = (name: string) => name === id || name.startsWith(`${id}_`)
    const removed = existsSync(path) ? [...copies].filter((name) => isOf(name) && !known.has(name)) : []
    // Another entry may have the same beginning.
    const own = removed.filter((name) => !sources.some((other) => other.id !== id && other.id === name))
    return [...changed, ...own.map((name): CredentialChange => ({ name, source: path, change: 'removed' }))]
  })
}

/** The files that systemd loads from a source: a file, or all in a directory. Empty where it is gone, or is a socket. */
function filesOf(id: string, path: string): { name: string; source: string }[] {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats?.isFile() === true) return [{ name: id, source: path }]
  if (stats?.isDirectory() !== true) return []
  return readdirSync(path).flatMap((entry) => filesOf(`${id}_${entry}`, join(path, entry)))
}

function unitOf(pid: number): string | undefined {
  try {
    // Of a relay in a container the number is that of something else here.
    if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes('serve')) return undefined
    return /\/([^/\n]+\.service)(?:\/[^\n]*)?$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

/** `systemctl show` cannot print these. Throws where the manager does not answer. */
function sourcesOf(unit: string): CredentialSource[] {
  const object = `${OBJECT}${unit.replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}`
  const properties = ['LoadCredential', 'LoadCredentialEncrypted']
  const where = ['org.freedesktop.systemd1', object, 'org.freedesktop.systemd1.Service']
  const lines = execFileSync('busctl', ['--json=short', 'get-property', ...where, ...properties], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: BUSCTL_MS,
  })
  return lines
    .trim()
    .split('\n')
    .flatMap((line, index) => {
      const { data } = JSON.parse(line) as { data: [id: string, path: string][] }
      const isEncrypted = index === 1
      return data.map(([id, path]) => ({ id, path: located(path, isEncrypted), isEncrypted }))
    })
}

function located(path: string, isEncrypted: boolean): string {
  if (path.startsWith('/')) return path
  const stores = STORES.map((store) => join(store, isEncrypted ? 'credstore.encrypted' : 'credstore', path))
  return stores.find((store) => existsSync(store)) ?? stores[0]!
}
