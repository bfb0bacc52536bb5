import { Command } from 'commander'
import { CONFIRM_COMMAND, holdDocument, holdText } from '../documents/clock.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { readMachineClock } from '../machine-clock.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { confirm } from './confirm.ts'
import { iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { examples, jsonOption, print } from './printing.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
  readonly yes?: boolean
}

/** Whether retention believes the machine's clock. Works whether the relay runs or not. */
export function clockCommand(): Command {
  return new Command('clock')
    .description("show whether retention believes this machine's clock, and confirm it")
    .addCommand(showCommand())
    .addCommand(confirmCommand())
}

function showCommand(): Command {
  return new Command('show')
    .description("show whether this machine's clock is believed")
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('clock show', 'clock show --json'))
    .action(async (options: Options) => {
      await withConfigured(options, async (operator) => {
        const reading = readMachineClock(systemClock)
        const { hold } = await operator.clock(reading)
        const document = { at: iso(reading.wallMs), retentionHeld: holdDocument(hold) }
        const text = hold === null ? 'the clock is believed' : `${holdText(hold)}: ${CONFIRM_COMMAND}`
        print(options.json, document, `${iso(reading.wallMs)}: ${text}\n`)
      })
    })
}

function confirmCommand(): Command {
  return new Command('confirm')
    .description('believe the clock as it is now: retention, prune and rejections clear go by it at once')
    .addOption(configOption())
    .addOption(jsonOption())
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `\nWhat was received before the clock was set forward counts as that much younger than its time says, so that a clock that
was behind costs nothing. Compare the clock with another machine first: doctor --clock https://api.ultravox.ai
${examples('clock confirm', 'clock confirm --yes')}`,
    )
    .action(async (options: Options) => {
      await withConfigured(options, async (operator) => {
        const reading = readMachineClock(systemClock)
        const { hold } = await operator.clock(reading)
        const document = { at: iso(reading.wallMs), retentionHeld: holdDocument(hold), confirmed: hold !== null }
        if (hold === null)
          return print(options.json, document, `${iso(reading.wallMs)}: the clock is believed already\n`)
        if (!(await confirm(`${iso(reading.wallMs)} would be taken as the right time`, options.yes))) return
        await operator.confirmClock(readMachineClock(systemClock))
        print(options.json, document, 'confirmed: retention goes by this clock\n')
      })
    })
}

/** For commands that delete by age. Throws `usage` while the clock is not believed. */
export async function refuseDoubtfulClock(operator: Pick<OutboxOperator, 'clock'>): Promise<void> {
  const { hold } = await operator.clock(readMachineClock(systemClock))
  if (hold !== null) throw new RelayError('usage', `${holdText(hold)}: ${CONFIRM_COMMAND}`)
}

async function withConfigured(options: Options, use: (operator: OutboxOperator) => Promise<void>): Promise<void> {
  const config = await outboxConfig(options.config)
  await withOutbox(config.outbox.path, use)
}
