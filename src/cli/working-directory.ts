import { RelayError } from '../domain/errors.ts'

/**
 * Throws `usage` where the directory in which a command was started is gone: relative paths mean nothing then, and Node cannot
 * start the threads of the relay.
 */
export function assertWorkingDirectory(): void {
  try {
    process.cwd()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const what = code === 'ENOENT' ? 'does not exist any more' : `cannot be determined (${code})`
    throw new RelayError('usage', `the working directory ${what}: change to another one first, as with cd /`, {
      cause: error,
    })
  }
}
