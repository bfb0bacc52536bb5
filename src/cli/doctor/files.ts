import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from '../../config/config.ts'
import { secretPlaces } from '../../config/secret-places.ts'
import { onFileSystem } from '../../file-system.ts'
import { bytes } from '../bytes.ts'
import { type Check, type CheckResult, ok, problem } from './check.ts'

const OTHERS_READ = 0o004
const OTHERS_WRITE = 0o002
const ALL_BUT_OWNER = 0o077

/** Who may read and write the files of a relay, and whether there is room for more. `file`: the configuration. */
export function fileChecks(config: Config, file: string): Check[] {
  return [
    { name: 'permissions', run: async () => [...configuration(file), ...secretFiles(file), ...outboxFiles(config)] },
    { name: 'disk', run: () => disk(config) },
  ]
}

function* configuration(file: string): Iterable<CheckResult> {
  const { inline } = secretPlaces(file)
  const mode = modeOf(file)
  if (mode & OTHERS_WRITE) yield problem('permissions', `anybody can change ${file}`, `chmod o-w ${file}`)
  else if (mode & OTHERS_READ && inline.length > 0) {
    const advice = `chmod 640 ${file}, or write references there, such as \${file:/path}`
    yield problem('permissions', `anybody can read ${file}, which holds secrets (${inline.join(', ')})`, advice)
  } else yield ok('permissions', file)
}

function* secretFiles(file: string): Iterable<CheckResult> {
  for (const path of secretPlaces(file).files) {
    if (!existsSync(path)) continue
    if (modeOf(path) & (OTHERS_READ | OTHERS_WRITE)) {
      yield problem('permissions', `anybody can read or change the secret in ${path}`, `chmod o-rw ${path}`)
    } else yield ok('permissions', path)
  }
}

function* outboxFiles({ outbox: { path } }: Config): Iterable<CheckResult> {
  const files = ['', '-wal', '-shm'].map((suffix) => `${path}${suffix}`).filter((each) => existsSync(each))
  const open = files.filter((each) => modeOf(each) & ALL_BUT_OWNER)
  if (open.length > 0) {
    yield problem(
      'permissions',
      `others can read phone calls' data in ${open.join(', ')}`,
      `chmod 600 ${open.join(' ')}`,
    )
  } else if (files.length > 0) yield ok('permissions', path)
}

async function disk({ outbox: { path, reserveBytes } }: Config): Promise<CheckResult[]> {
  const directory = nearest(dirname(path))
  try {
    accessSync(directory, constants.W_OK | constants.X_OK)
  } catch {
    const advice = 'let the user that the relay runs as write into it'
    return [problem('disk', `${directory} cannot be written to`, advice)]
  }
  const { bavail, bsize, files, ffree } = await statfs(directory)
  const free = bavail * bsize
  const text = `${bytes(free)} free at ${directory}${onFileSystem(directory)}`
  if (files > 0 && ffree === 0) {
    return [problem('disk', `no inodes left at ${directory}${onFileSystem(directory)}`, 'remove files: df -i')]
  }
  if (free >= reserveBytes) return [ok('disk', text)]
  const advice = 'make room: prune --older-than 30d, or a larger disk'
  return [problem('disk', `${text}, less than outbox.reserve (${bytes(reserveBytes)}): events are refused`, advice)]
}

/** The directory itself, or the one in which it will be made. */
function nearest(directory: string): string {
  return existsSync(directory) ? directory : nearest(dirname(directory))
}

function modeOf(path: string): number {
  return statSync(path).mode
}
