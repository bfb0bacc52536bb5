import { Command } from 'commander'
import { stringify } from 'yaml'
import { formatProblem } from '../config/problem.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { examples, jsonOption, note, print } from './printing.ts'

/** The configuration as the relay understands it. Needs none of its secrets, and shows none. */
export function configShowCommand(): Command {
  return new Command('show')
    .description('print the configuration with its references resolved and defaults filled in, secrets masked')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('config show', 'config show --config /etc/ultravox-relay/relay.yaml --json'))
    .action((options: { config?: string; json?: boolean }) => {
      const { shown, missing } = loadWithoutSecrets(configFile(options.config))
      for (const problem of missing) note(`not to be had here: ${formatProblem(problem)}`)
      const document = shown()
      print(options.json, document, stringify(document, { lineWidth: 0 }))
    })
}
