import { readFileSync } from 'node:fs'
import { HOME_PROBLEM, isHomePath } from '../config/home-path.ts'
import { RelayError } from '../domain/errors.ts'

/** Not `process.stdin.fd`: to touch that stream makes a pipe non-blocking, and reading it then fails. */
const STDIN = 0

/** The bytes of a file, or of standard input where it is `-`. Throws `not_found` or `usage`. */
export function readInput(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? STDIN : file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && isHomePath(file)) throw new RelayError('usage', `${file} ${HOME_PROBLEM}`)
    if (code === 'ENOENT') throw new RelayError('not_found', `there is no file ${file}`)
    const reason = code === 'EACCES' ? 'permission denied' : code === 'EISDIR' ? 'it is a directory' : String(code)
    throw new RelayError('usage', `${file} cannot be read: ${reason}`)
  }
}
