import { Command } from 'commander'
import { VERSION } from '../version.ts'
import { backfillCommand } from './backfill.ts'
import { backupCommand } from './backup.ts'
import { callsCommand } from './calls.ts'
import { checkCommand } from './check.ts'
import { completionCommand } from './completion.ts'
import { configCommand } from './config.ts'
import { deliveriesCommand } from './deliveries.ts'
import { doctorCommand } from './doctor.ts'
import { eraseCommand } from './erase.ts'
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
import { webhooksCommand } from './webhooks.ts'

const USAGE_STATUS = 2

/** All the commands there are. */
export function createProgram(): Command {
  const program = new Command('ultravox-relay')
    .description('Verifies Ultravox webhooks, stores them durably and delivers each one to your own systems.')
    .version(VERSION)
    .addCommand(initCommand())
    .addCommand(serveCommand())
    .addCommand(checkCommand())
    .addCommand(reloadCommand())
    .addCommand(triggerCommand())
    .addCommand(statusCommand())
    .addCommand(tailCommand())
    .addCommand(eventsCommand())
    .addCommand(callsCommand())
    .addCommand(deliveriesCommand())
    .addCommand(rejectionsCommand())
    .addCommand(targetsCommand())
    .addCommand(backfillCommand())
    .addCommand(webhooksCommand())
    .addCommand(backupCommand())
    .addCommand(pruneCommand())
    .addCommand(eraseCommand())
    .addCommand(doctorCommand())
    .addCommand(matchCommand())
    .addCommand(signCommand())
    .addCommand(verifyCommand())
    .addCommand(configCommand())
  program.addCommand(completionCommand(program))
  for (const command of withSubcommands(program)) {
    command.showHelpAfterError('(--help tells how it is used)').exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : USAGE_STATUS)
    })
    if (command.commands.length === 0) command.addOption(colorOption())
  }
  program.hook('preAction', (_, action) => setColor(action.opts().color))
  return program
}

/** A command and all that are under it. */
export function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}
