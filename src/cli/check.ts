import { Command } from 'commander'
import { configFile, configOption, loadTold } from './config-file.ts'
import { examples } from './printing.ts'

/** Loads everything and starts nothing: 0 valid, 2 not. */
export function checkCommand(): Command {
  return new Command('check')
    .description('check the configuration and say everything that is wrong with it')
    .addOption(configOption())
    .addHelpText('after', examples('check', 'check --config /etc/ultravox-relay/relay.yaml'))
    .action((options: { config?: string }) => {
      const file = configFile(options.config)
      const { config } = loadTold(file)
      const counts = [
        count(Object.keys(config.sources).length, 'source'),
        count(Object.keys(config.targets).length, 'target'),
        count(config.routes.length, 'route'),
      ]
      process.stdout.write(`${file} is valid: ${counts.join(', ')}\n`)
    })
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
