import { parseEnv } from 'node:util'
import { Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { readingProblem, readSmallFile } from '../safe-file.ts'

/** `--env-file FILE`, the same at every command that reads the configuration. */
export function envFileOption(): Option {
  return new Option('--env-file <file>', 'variables for ${NAME} in the configuration; those of the environment win')
}

/**
 * Adds the variables of a file to the environment, as far as they are not set. The file has lines NAME=value, as for Docker, systemd and
 * `node --env-file`. Throws `usage` if it cannot be read.
 */
export function loadEnvFile(file: string, env: NodeJS.ProcessEnv = process.env): void {
  const text = readEnvFile(file)
  for (const [name, value] of Object.entries(parseEnv(text))) env[name] ??= value
}

function readEnvFile(file: string): string {
  try {
    return readSmallFile(file).text
  } catch (error) {
    throw new RelayError('usage', `--env-file ${file} cannot be read: ${readingProblem(error)}`, { cause: error })
  }
}
