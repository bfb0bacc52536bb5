#!/usr/bin/env node
import { Command } from 'commander'
import { ConfigError } from '../config/problem.ts'
import { errorMessage, exitStatus, RelayError } from '../domain/errors.ts'
import { VERSION } from '../version.ts'
import { backupCommand } from './backup.ts'
import { callsCommand } from './calls.ts'
import { checkCommand } from './check.ts'
import { completionCommand } from './completion.ts'
import { configCommand } from './config.ts'
import { deliveriesCommand } from './deliveries.ts'
import { doctorCommand } from './doctor.ts'
import { eventsCommand } from './events.ts'
import { initCommand } from './init.ts'
import { matchCommand } from './match.ts'
import { pruneCommand } from './prune.ts'
import { rejectionsCommand } from './rejections.ts'
import { reloadCommand } from './reload.ts'
import { serveCommand } from './serve.ts'
import { signCommand } from './sign.ts'
import { statusCommand } from './status.ts'
import { colorOption, setColor } from './style.ts'
import { tailCommand } from './tail.ts'
import { targetsCommand } from './targets.ts'
import { triggerCommand } from './trigger.ts'
import { verifyCommand } from './verify.ts'

const USAGE_STATUS = 2

const program = new Command('ultravox-relay')
  .description('Verifies Ultravox webhooks, stores them durably and delivers each one to your own systems.')
  .version(VERSION)
  .addCommand(serveCommand())
  .addCommand(checkCommand())
  .addCommand(reloadCommand())
  .addCommand(triggerCommand())
  .addCommand(statusCommand())
  .addCommand(tailCommand())
  .addCommand(configCommand())
  .addCommand(eventsCommand())
  .addCommand(callsCommand())
  .addCommand(deliveriesCommand())
  .addCommand(rejectionsCommand())
  .addCommand(targetsCommand())
  .addCommand(backupCommand())
  .addCommand(pruneCommand())
  .addCommand(doctorCommand())
  .addCommand(initCommand())
  .addCommand(matchCommand())
  .addCommand(signCommand())
  .addCommand(verifyCommand())
program.addCommand(completionCommand(program))
for (const command of withSubcommands(program)) {
  command.showHelpAfterError('(--help tells how it is used)').exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS)
  })
  if (command.commands.length === 0) command.addOption(colorOption())
}
program.hook('preAction', (_, action) => setColor(action.opts().color))

// Who reads may stop reading (`… | head`); that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

try {
  await program.parseAsync()
} catch (error) {
  // A RelayError is expected and says what to do; of anything else, the stack is wanted.
  const text = error instanceof RelayError ? errorMessage(error) : ((error as Error).stack ?? errorMessage(error))
  process.stderr.write(`${error instanceof ConfigError ? '' : 'ultravox-relay: '}${text}\n`)
  process.exitCode = error instanceof RelayError ? exitStatus(error.code) : 1
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}
