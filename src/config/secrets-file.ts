import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { RelayError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'

/** What Ultravox takes, in characters. */
export const LONGEST_SECRET = 120

/** A file with webhook secrets: one a line; blank lines and those that start with # say nothing. */
export interface SecretsFile {
  /** In the order of the file, each once, perhaps none. */
  readonly secrets: readonly Secret[]
  /** Whether others than its owner may read or change it. */
  readonly openToOthers: boolean
}

/** Null where there is no such file. Throws `config_invalid` with what is wrong; it never quotes the file. */
export function readSecretsFile(path: string): SecretsFile | null {
  const text = textOf(path)
  if (text === null) return null
  const lines = text.split(/\r?\n/).map((line, index) => ({ secret: line.trim(), number: index + 1 }))
  const written = lines.filter(({ secret }) => isSecret(secret))
  const tooLong = written.find(({ secret }) => secret.length > LONGEST_SECRET)
  if (tooLong !== undefined) {
    const message = `line ${tooLong.number} of ${path} is longer than ${LONGEST_SECRET} characters, the most Ultravox takes`
    throw new RelayError('config_invalid', `${message}: write one secret a line`)
  }
  return {
    secrets: [...new Set(written.map(({ secret }) => secret))].map((secret) => new Secret(secret)),
    openToOthers: (statSync(path).mode & 0o077) !== 0,
  }
}

/**
 * Adds a secret at the end of a file, which is made, readable by its owner only, where there is none. What else is in it
 * stays as it is. `like`: a file whose owner a new one gets, where that may be given. Throws `file_unwritable`.
 */
export function addToSecretsFile(path: string, secret: Secret, like: string): void {
  const text = textOf(path)
  const before = text === null || text === '' || text.endsWith('\n') ? (text ?? '') : `${text}\n`
  replaceFile(path, `${before}${secret.reveal()}\n`, like)
}

/** Takes the secrets with these fingerprints out of a file, and leaves the rest as it is. Throws `file_unwritable`. */
export function removeFromSecretsFile(path: string, fingerprints: readonly string[]): void {
  const text = textOf(path)
  if (text === null) return
  const isRemoved = (line: string) =>
    isSecret(line.trim()) && fingerprints.includes(secretFingerprint(new Secret(line.trim())))
  const lines = text.split('\n')
  const rest = lines.filter((line) => !isRemoved(line))
  if (rest.length < lines.length) replaceFile(path, rest.join('\n'), path)
}

/**
 * Puts a text, readable by its owner only, in the place of a file: who reads it sees the old or the new, whole, whatever
 * happens meanwhile. The owner stays who it was (root writes it for the user that the relay runs as); a new file has the
 * owner of `like`.
 */
export function replaceFile(path: string, text: string, like: string): void {
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.new`)
  try {
    // One of a process of the same number that has crashed.
    rmSync(beside, { force: true })
    const file = openSync(beside, 'wx', 0o600)
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    const owner = ownerOf(path) ?? ownerOf(like)
    if (owner !== undefined && process.getuid?.() === 0) chownSync(beside, owner.uid, owner.gid)
    chmodSync(beside, 0o600)
    renameSync(beside, path)
    syncDirectory(dirname(path))
  } catch (error) {
    rmSync(beside, { force: true })
    throw unwritable(path, error)
  }
}

export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
    syncDirectory(dirname(path))
  } catch (error) {
    throw unwritable(path, error)
  }
}

function unwritable(path: string, error: unknown): RelayError {
  return new RelayError('file_unwritable', `${path} cannot be written: ${reason(error)}`)
}

function isSecret(line: string): boolean {
  return line !== '' && !line.startsWith('#')
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new RelayError('config_invalid', `${path} cannot be read: ${reason(error)}`)
  }
}

function ownerOf(path: string): { uid: number; gid: number } | undefined {
  return statSync(path, { throwIfNoEntry: false })
}

function reason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such directory'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  return code === 'EISDIR' ? 'it is a directory' : String(code ?? 'unknown error')
}

/** A new name is on disk only with its directory. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  fsyncSync(directory)
  closeSync(directory)
}
