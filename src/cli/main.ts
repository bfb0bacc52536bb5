#!/usr/bin/env node
import { ConfigError } from '../config/problem.ts'
import { errorMessage, exitStatus, RelayError } from '../domain/errors.ts'
import { endWithReader, printUncaught, writeError } from './output.ts'
import { createProgram } from './program.ts'
import { assertWorkingDirectory } from './working-directory.ts'

endWithReader()
printUncaught()

try {
  assertWorkingDirectory()
  const program = await createProgram(process.argv[2])
  await program.parseAsync()
} catch (error) {
  // A RelayError is expected and says what to do; of anything else, the stack is wanted.
  const text = error instanceof RelayError ? errorMessage(error) : ((error as Error).stack ?? errorMessage(error))
  writeError(`${error instanceof ConfigError ? '' : 'ultravox-relay: '}${text}\n`)
  process.exitCode = error instanceof RelayError ? exitStatus(error.code) : 1
}
