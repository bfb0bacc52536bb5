#!/usr/bin/env node
import { Command } from 'commander'
import { ConfigError } from '../config/problem.ts'
import { errorMessage, exitStatus, RelayError } from '../domain/errors.ts'
import { VERSION } from '../version.ts'
import { checkCommand } from './check.ts'
import { configCommand } from './config.ts'
import { serveCommand } from './serve.ts'
import { triggerCommand } from './trigger.ts'

const USAGE_STATUS = 2

const program = new Command('ultravox-relay')
  .description('Verifies Ultravox webhooks, stores them durably and delivers each one to your own systems.')
  .version(VERSION)
  .addCommand(serveCommand())
  .addCommand(checkCommand())
  .addCommand(triggerCommand())
  .addCommand(configCommand())
for (const command of [program, ...program.commands]) {
  command.showHelpAfterError('(--help tells how it is used)').exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS)
  })
}

try {
  await program.parseAsync()
} catch (error) {
  // A RelayError is expected and says what to do; of anything else, the stack is wanted.
  const text = error instanceof RelayError ? errorMessage(error) : ((error as Error).stack ?? errorMessage(error))
  process.stderr.write(`${error instanceof ConfigError ? '' : 'ultravox-relay: '}${text}\n`)
  process.exitCode = error instanceof RelayError ? exitStatus(error.code) : 1
}
