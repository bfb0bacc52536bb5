import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { accessing, closedDirectoryAbove } from '../safe-file.ts'

/** Where a program is, or why it cannot be run. */
export type Executable = { readonly path: string } | { readonly missing: 'file' | 'permission' | 'directory' }

/** A program with a `/` in its name is looked for from `directory`; any other in the directories of `searchPath`. */
export function findExecutable(program: string, directory: string, searchPath: string | undefined): Executable {
  if (program.includes('/')) return reachable(resolve(directory, program))
  const places = (searchPath ?? '').split(delimiter).filter((place) => place !== '')
  const found = places.map((place) => reachable(resolve(place, program)))
  return found.find((candidate) => 'path' in candidate) ?? { missing: 'file' }
}

function reachable(path: string): Executable {
  return accessing(path, () => executableAt(path))
}

function executableAt(path: string): Executable {
  try {
    const stats = statSync(path)
    if (stats.isDirectory()) return { missing: 'directory' }
    if (!stats.isFile()) return { missing: 'file' }
    accessSync(path, constants.X_OK)
    return { path }
  } catch (error) {
    // Also where a directory on the way to it may not be looked into.
    return { missing: (error as NodeJS.ErrnoException).code === 'EACCES' ? 'permission' : 'file' }
  }
}

/** What makes a program executable that is there and is not: by the first directory above it that is closed, or its own mode. */
export function permissionAdvice(path: string): string {
  const closed = accessing(path, () => closedDirectoryAbove(path))
  if (closed === undefined) return 'chmod +x it'
  const user = process.geteuid?.() ?? ''
  const setting = /^\/(home|root|run\/user)(\/|$)/.test(closed)
    ? ', or the unit has ProtectHome=: see exec-hooks.conf'
    : ''
  return `user ${user} may not enter the directory ${closed}${setting}`
}
