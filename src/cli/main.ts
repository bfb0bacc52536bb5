#!/usr/bin/env node
import { VERSION } from '../version.ts'
import { endWithReader, printUncaught, writeError, writeOut } from './output.ts'
import { assertWorkingDirectory } from './working-directory.ts'

endWithReader()
printUncaught()

try {
  if (isVersionOnly()) writeOut(`${VERSION}\n`)
  else await runCommand()
} catch (error) {
  await fail(error)
}

function isVersionOnly(): boolean {
  const [first, ...others] = process.argv.slice(2)
  return others.length === 0 && (first === '--version' || first === '-V')
}

/** What it loads takes most of a command's time. */
async function runCommand(): Promise<void> {
  assertWorkingDirectory()
  const { runProgram } = await import('./program.ts')
  await runProgram(process.argv.slice(2))
}

async function fail(error: unknown): Promise<void> {
  const { ConfigError } = await import('../config/problem.ts')
  const { errorMessage, exitStatus, RelayError } = await import('../domain/errors.ts')
  // A RelayError is expected and says what to do; of anything else, the stack is wanted.
  const text = error instanceof RelayError ? errorMessage(error) : ((error as Error).stack ?? errorMessage(error))
  writeError(`${error instanceof ConfigError ? '' : 'ultravox-relay: '}${text}\n`)
  process.exitCode = error instanceof RelayError ? exitStatus(error.code) : 1
}
