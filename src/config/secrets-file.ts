import { RelayError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'
import { unmountedProblem } from '../mounts.ts'
import { readingProblem, readSmallFile, replaceFile, type SmallFile } from '../safe-file.ts'

/** What Ultravox takes, in characters. */
export const LONGEST_SECRET = 120

/** A file with webhook secrets: one a line; blank lines and those that start with # say nothing. */
export interface SecretsFile {
  /** In the order of the file, each once, perhaps none. */
  readonly secrets: readonly Secret[]
  /** The lines, from 1, in which they stand first. */
  readonly lines: readonly number[]
  /** Whether others than its owner may read or change it. */
  readonly openToOthers: boolean
}

/** Null where there is no such file. Throws `config_invalid` with what is wrong; it never quotes the file. */
export function readSecretsFile(path: string): SecretsFile | null {
  const file = read(path)
  if (file === null) return null
  const { text, stats } = file
  const lines = text.split(/\r?\n/).map((line, index) => ({ secret: line.trim(), number: index + 1 }))
  const written = lines.filter(({ secret }) => isSecret(secret))
  const tooLong = written.find(({ secret }) => secret.length > LONGEST_SECRET)
  if (tooLong !== undefined) {
    const message = `line ${tooLong.number} of ${path} is longer than ${LONGEST_SECRET} characters, the most Ultravox takes`
    throw new RelayError('config_invalid', `${message}: write one secret a line`)
  }
  const first = new Map<string, number>()
  for (const { secret, number } of written) if (!first.has(secret)) first.set(secret, number)
  return {
    secrets: [...first.keys()].map((secret) => new Secret(secret)),
    lines: [...first.values()],
    openToOthers: (stats.mode & 0o077) !== 0,
  }
}

/**
 * Adds a secret at the end of a file, which is made, readable by its owner only, where there is none. What else is in it
 * stays as it is. `like`: a file whose owner a new one gets, where that may be given. Throws `file_unwritable`, also where a new
 * file would be hidden once what is in /etc/fstab is mounted.
 */
export function addToSecretsFile(path: string, secret: Secret, like: string): void {
  const text = read(path)?.text ?? null
  const unmounted = text === null ? unmountedProblem(path) : undefined
  if (unmounted !== undefined) throw new RelayError('file_unwritable', `cannot create ${path}: ${unmounted}`)
  const before = text === null || text === '' || text.endsWith('\n') ? (text ?? '') : `${text}\n`
  replaceFile(path, `${before}${secret.reveal()}\n`, { mode: 0o600, like })
}

/** Takes the secrets with these fingerprints out of a file, and leaves the rest as it is. Throws `file_unwritable`. */
export function removeFromSecretsFile(path: string, fingerprints: readonly string[]): void {
  const text = read(path)?.text
  if (text === undefined) return
  const isRemoved = (line: string) =>
    isSecret(line.trim()) && fingerprints.includes(secretFingerprint(new Secret(line.trim())))
  const lines = text.split('\n')
  const rest = lines.filter((line) => !isRemoved(line))
  if (rest.length < lines.length) replaceFile(path, rest.join('\n'), { mode: 0o600 })
}

function isSecret(line: string): boolean {
  return line !== '' && !line.startsWith('#')
}

function read(path: string): SmallFile | null {
  try {
    return readSmallFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new RelayError('config_invalid', `${path} cannot be read: ${readingProblem(error)}`)
  }
}
