import { Command } from 'commander'
import { relayJsonSchema } from '../config/json-schema.ts'
import { configReference } from '../config/reference.ts'
import { configShowCommand } from './config-show.ts'
import { examples } from './printing.ts'

export function configCommand(): Command {
  return new Command('config')
    .description('about the configuration')
    .addCommand(configShowCommand())
    .addCommand(
      printing('schema', 'print its JSON Schema, for editors', () => JSON.stringify(relayJsonSchema(), null, 2)),
    )
    .addCommand(printing('reference', 'print what every key means, in Markdown', () => configReference().trimEnd()))
}

function printing(name: string, description: string, text: () => string): Command {
  return new Command(name)
    .description(description)
    .addHelpText('after', examples(`config ${name}`))
    .action(() => {
      process.stdout.write(`${text()}\n`)
    })
}
