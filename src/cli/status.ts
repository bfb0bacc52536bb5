import { Command, InvalidArgumentError, Option } from 'commander'
import { type Status, statusDocument, statusOf } from '../documents/status.ts'
import { systemClock } from '../domain/clock.ts'
import { readMachineClock } from '../machine-clock.ts'
import { configOption } from './config-file.ts'
import { iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { writeError, writeJson, writeScreen } from './output.ts'
import { examples, jsonOption, print } from './printing.ts'
import { repeatUntilInterrupted } from './repeating.ts'
import { requestProblems } from './request-problems.ts'
import { servedCertificate } from './served-certificate.ts'
import { type Health, healthOf } from './status-exit.ts'
import { type ShownStatus, statusText } from './status-report.ts'
import { styled } from './style.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
  readonly watch?: boolean
  readonly exitCode?: boolean
  readonly interval: number
}

/** The whole relay on one screen: what an operator looks at first. Works whether the relay runs or not. */
export function statusCommand(): Command {
  return new Command('status')
    .description('show how the relay, its sources, targets and outbox are doing; also while it is not running')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('-w, --watch', 'show it again and again, until Ctrl-C; with --json, one line each time'))
    .addOption(
      new Option('--interval <seconds>', 'how often')
        .argParser(parseInterval)
        .default(2_000, '2')
        .implies({ watch: true }),
    )
    .option(
      '--exit-code',
      'for monitoring: exit with 0 if all is well, 1 if something needs you, 4 if no relay is running',
    )
    .addHelpText('after', examples('status', 'status --watch --interval 10', 'status --json --exit-code'))
    .action(async (options: Options) => {
      const config = await outboxConfig(options.config)
      await withOutbox(config.outbox.path, async (operator) => {
        const served = (daemon: Status['daemon']) => servedCertificate(config, daemon)
        const look = async () => {
          const status = await statusOf(config, operator, readMachineClock(systemClock), served)
          return { ...status, requests: await requestProblems(operator, config, status.now) }
        }
        if (options.watch !== true) {
          const status = await look()
          print(options.json, statusDocument(status), statusText(status))
          if (options.exitCode === true) endWith(healthOf(status))
          return
        }
        await repeatUntilInterrupted(async () => show(await look(), options.json), options.interval)
      })
    })
}

function endWith({ exitCode, problems }: Health): void {
  if (problems.length > 0) writeError(`problems: ${problems.join('; ')}\n`)
  process.exitCode = exitCode
}

/** One of many: on a terminal in the place of the one before, else after it. */
function show(status: ShownStatus, json: boolean | undefined): void {
  if (json === true) writeJson(statusDocument(status), 0)
  else writeScreen(`${styled('dim', iso(status.now))}\n${statusText(status)}`)
}

/** Parses a number of seconds; in milliseconds. */
function parseInterval(text: string): number {
  const seconds = /^\d+(\.\d+)?s?$/.test(text) ? Number.parseFloat(text) : Number.NaN
  if (!(seconds >= 0.1 && seconds <= 86_400)) {
    throw new InvalidArgumentError('write a number of seconds from 0.1 to 86400')
  }
  return seconds * 1_000
}
