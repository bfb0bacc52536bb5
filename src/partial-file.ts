import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { uptime } from 'node:os'
import { systemClock } from './domain/clock.ts'
import { errorMessage } from './domain/errors.ts'
import { fileSystemOf, kindOf } from './file-system.ts'
import { isProcessRunning, isThere, ownIdentity } from './process-identity.ts'

/*
 * A file is written beside its place under a name of its own, and then renamed. The name says which process writes it, so
 * that what a killed process has left can be told from what a living one is writing.
 */

/** After this long without a change, a partial file whose process cannot be seen from here is taken for abandoned. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1_000

const NAME = /^\.ultravox-relay-([0-9a-f]+)-(\d+)-(\d+)-(\d+)-(\d+)\.(partial|writing)(?:-journal|-wal|-shm)?$/

/** In a name, for what the system does not say. */
const UNKNOWN = '0'

/** Endings of a partial file's own name and of the side files that SQLite may have made for it. */
export const PARTIAL_SUFFIXES = ['', '-journal', '-wal', '-shm']

let made = 0

/**
 * A name for a file that this process writes: `.partial` for what will be renamed, `.writing` for a note about a file elsewhere.
 * Its length does not depend on the name of the file that it stands for.
 */
export function partialName(kind: 'partial' | 'writing' = 'partial'): string {
  const { boot, namespace, pid, started } = own()
  return `.ultravox-relay-${boot}-${namespace}-${pid}-${started}-${++made}.${kind}`
}

/** Whether `name` is one that `partialName` gives, or that of a side file of SQLite. */
export function isPartialName(name: string, kind: 'partial' | 'writing' = 'partial'): boolean {
  return NAME.exec(name)?.[6] === kind
}

/** A partial file that was found. */
export interface Leftover {
  readonly name: string
  /** Why it was not removed; null where it was. */
  readonly problem: string | null
}

/**
 * Removes the partial files of processes that have ended from a directory. Files of processes that run, or may run on another
 * machine or in another container, stay. `pathOf` gives the path of a name in it, `directory` is its own path.
 */
export function removeLeftovers(directory: string, pathOf: (name: string) => string): Leftover[] {
  return abandonedIn(directory, pathOf, 'partial').map((name) => {
    try {
      rmSync(pathOf(name), { force: true })
      return { name, problem: null }
    } catch (error) {
      return { name, problem: (error as NodeJS.ErrnoException).code ?? errorMessage(error) }
    }
  })
}

/** The names of regular files of this kind whose process has ended. */
export function abandonedIn(
  directory: string,
  pathOf: (name: string) => string,
  kind: 'partial' | 'writing',
): string[] {
  return readdirSync(pathOf('.')).filter((name) => isPartialName(name, kind) && isAbandoned(name, directory, pathOf))
}

function isAbandoned(name: string, directory: string, pathOf: (name: string) => string): boolean {
  const stats = lstatSync(pathOf(name), { throwIfNoEntry: false })
  if (stats?.isFile() !== true) return false
  const runs = isRunning(name, directory, stats.mtimeMs)
  return runs === undefined ? systemClock.now() - stats.mtimeMs > ABANDONED_AFTER_MS : !runs
}

/**
 * Undefined where it cannot be known from here. Another boot id is not only that of an earlier boot: a directory may be exported to
 * other machines or shared with a virtual machine, and a container of systemd-nspawn has a boot id of its own.
 */
function isRunning(name: string, directory: string, changedAt: number): boolean | undefined {
  const [, boot, namespace, pid, started] = NAME.exec(name)!
  const self = own()
  if (self.started === UNKNOWN) return process.platform === 'linux' ? undefined : isThere(Number(pid))
  const isSameBoot = boot !== UNKNOWN && boot === self.boot
  if (!isSameBoot && changedAt < bootedAt() && !isSeenByOthers(directory)) return false
  const mayBeSameBoot = boot === self.boot || boot === UNKNOWN || self.boot === UNKNOWN
  if (!mayBeSameBoot || namespace !== self.namespace) return undefined
  const runs = isProcessRunning(Number(pid), started!)
  return runs === false && !isSameBoot && isSeenByOthers(directory) ? undefined : runs
}

function isSeenByOthers(directory: string): boolean {
  const found = fileSystemOf(directory)
  return found === undefined || kindOf(found) !== 'local'
}

function bootedAt(): number {
  return systemClock.now() - uptime() * 1_000
}

/** The identity of this process in the characters of a name. */
function own() {
  const { boot, namespace, pid, started } = ownIdentity()
  return {
    boot: boot.replace(/[^0-9a-f]/g, '').slice(0, 8) || UNKNOWN,
    namespace: namespace.replace(/\D/g, '') || UNKNOWN,
    pid: String(pid),
    started: started || UNKNOWN,
  }
}
