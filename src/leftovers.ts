import {
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Config } from './config/config.ts'
import { errorMessage } from './domain/errors.ts'
import { fileSystemName, kindOf, mountAbove } from './file-system.ts'
import { abandonedIn, isPartialName, PARTIAL_SUFFIXES, partialName } from './partial-file.ts'
import { fileProblem, HeldDirectory, inDirectoryOf, linkTarget, readSmallFile } from './safe-file.ts'

/*
 * A backup that is killed leaves a part of the outbox, with call data, where it was being written. The next backup into that
 * directory finds it; a note beside the outbox lets the relay find it too.
 */

/** A partial file of a process that has ended. */
export interface LeftoverFile {
  readonly path: string
  /** Why it could not be removed; null where it was. */
  readonly problem: string | null
}

/**
 * Notes beside the outbox that this process writes the partial file `path`. Returns what removes the note. Where none can be
 * written, the file is written all the same.
 */
export function notePartial(outboxPath: string, path: string): () => void {
  try {
    const directory = HeldDirectory.open(dirname(outboxPath))
    const name = directory.path(partialName('writing'))
    const fd = openSync(name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    try {
      writeSync(fd, join(realpathSync(dirname(path)), basename(path)))
      // The relay is to read what root has noted.
      if (process.geteuid?.() === 0) fchownSync(fd, directory.stats.uid, directory.stats.gid)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    return () => {
      rmSync(name, { force: true })
      directory.close()
    }
  } catch {
    return () => {}
  }
}

/**
 * Removes what killed processes have left beside the outbox and the secrets files, and where backups were written: the latter on local
 * file systems only, because a share that does not answer must not keep the relay from starting.
 */
export function removeLeftovers({ outbox, sources }: Pick<Config, 'outbox' | 'sources'>): LeftoverFile[] {
  const secrets = Object.values(sources).flatMap((source) =>
    source.scheme === 'ultravox' && source.secretsFile !== null ? [source.secretsFile] : [],
  )
  const directories = new Set([outbox.path, ...secrets].flatMap((file) => directoryOf(file)))
  return [...[...directories].flatMap(removeLeftoversIn), ...removeNoted(dirname(outbox.path))]
}

/** Removes what killed processes have left in one directory; nothing where it cannot be read. */
export function removeLeftoversIn(directory: string): LeftoverFile[] {
  return held(directory, (open) =>
    open.removeLeftovers().map(({ name, problem }) => ({ path: join(directory, name), problem: problemOf(problem) })),
  )
}

/**
 * Removes the backups that killed processes have noted beside the outbox. One on a file system that may not answer is only reported,
 * unless the outbox is on it too, or it is in the directory `into`, which is about to be written to.
 */
export function removeNoted(directory: string, into?: string): LeftoverFile[] {
  const reachable = into !== undefined && existsSync(into) ? realpathSync(into) : undefined
  const isReachable = (path: string, outbox: string) =>
    dirname(path) === reachable || mountAbove(path)?.mountPoint === mountAbove(outbox)?.mountPoint
  return held(directory, (open) =>
    abandonedIn(open.realPath, (name) => open.path(name), 'writing').flatMap((name) => {
      const note = open.path(name)
      try {
        const { text } = readSmallFile(note)
        // A user who can write notes must not be able to have root remove any other file.
        const isOwn = isPartialName(basename(text)) && basename(text).split('-', 6).join() === name.split('-', 6).join()
        const mayHang = isOwn && !isReachable(text, open.realPath) ? hangingPlace(text) : undefined
        const removed = isOwn ? (mayHang ?? removeWithSideFiles(text)) : []
        if (removed.every(({ problem }) => problem === null)) rmSync(note, { force: true })
        return removed
      } catch {
        return []
      }
    }),
  )
}

/** Judges by the name alone: any call of the system with this path may not return. Undefined for a local file system. */
function hangingPlace(path: string): LeftoverFile[] | undefined {
  const place = mountAbove(path)
  if (place === undefined || kindOf(place) === 'local') return undefined
  return [
    { path, problem: `the ${fileSystemName(place)} may not answer; the next backup into that directory removes it` },
  ]
}

function removeWithSideFiles(path: string): LeftoverFile[] {
  return inDirectoryOf(path, (directory, name) => {
    try {
      const found = PARTIAL_SUFFIXES.filter((suffix) => directory.has(`${name}${suffix}`))
      for (const suffix of found) rmSync(directory.path(`${name}${suffix}`), { force: true })
      return found.includes('') ? [{ path, problem: null }] : []
    } catch (error) {
      return [{ path, problem: problemOf((error as NodeJS.ErrnoException).code ?? errorMessage(error)) }]
    }
  })
}

function problemOf(code: string | null): string | null {
  return code && fileProblem(code)
}

function directoryOf(file: string): string[] {
  try {
    return [dirname(linkTarget(file))]
  } catch {
    return []
  }
}

function held(directory: string, use: (open: HeldDirectory) => LeftoverFile[]): LeftoverFile[] {
  try {
    const open = HeldDirectory.open(directory)
    try {
      return use(open)
    } finally {
      open.close()
    }
  } catch {
    return []
  }
}
