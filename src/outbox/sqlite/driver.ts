import { createRequire } from 'node:module'
import type Database from 'better-sqlite3'
import { errorMessage, RelayError } from '../../domain/errors.ts'

const require = createRequire(import.meta.url)

/** The first SQLite without the WAL-reset bug, which could lose committed transactions. */
const LEAST_SQLITE = '3.51.3'

type Driver = new (path: string, options?: Database.Options) => Database.Database

let driver: Driver | undefined

/** Opens a database file with the better-sqlite3 that fits this Node. Throws `runtime_unsupported` where none does. */
export function openDatabase(path: string, options?: Database.Options): Database.Database {
  driver ??= loadDriver()
  return new driver(path, options)
}

/**
 * better-sqlite3 13 is built on Node-API 10: right for Node 22 and 24, a crash on Node 20. 12 is the other way round: it
 * runs on 20 and 22, and aborts at random on 24. Both are installed, and the one that fits is taken.
 */
function loadDriver(): Driver {
  if (Number(process.versions.napi) >= 10) {
    try {
      return probed(require('better-sqlite3-napi') as Driver)
    } catch (error) {
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') throw unsupported(error)
    }
  }
  if (Number(process.versions.node.split('.')[0]) >= 24) {
    throw unsupported('the package better-sqlite3-napi is missing; install without --omit=optional')
  }
  try {
    return probed(require('better-sqlite3') as Driver)
  } catch (error) {
    throw error instanceof RelayError ? error : unsupported(error)
  }
}

/** Requiring the package does not load its binary; opening a database does. */
function probed(candidate: Driver): Driver {
  const database = new candidate(':memory:')
  const version = database.prepare('select sqlite_version()').pluck().get() as string
  database.close()
  if (compareVersions(version, LEAST_SQLITE) < 0) {
    throw unsupported(`SQLite ${version} is too old: ${LEAST_SQLITE} or newer is needed`)
  }
  return candidate
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

function unsupported(cause: unknown): RelayError {
  return new RelayError(
    'runtime_unsupported',
    `SQLite cannot be loaded on Node ${process.versions.node}: ${errorMessage(cause)}. ` +
      'After a change of the Node version, run `npm rebuild better-sqlite3` or `npm ci`.',
    { cause },
  )
}
