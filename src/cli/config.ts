import { Command } from 'commander'
import { relayJsonSchema } from '../config/json-schema.ts'
import { configReference } from '../config/reference.ts'
import { configShowCommand } from './config-show.ts'
import { writeJson, writeOut } from './output.ts'
import { examples } from './printing.ts'

export function configCommand(): Command {
  return new Command('config')
    .description('about the configuration')
    .addCommand(configShowCommand())
    .addCommand(printing('schema', 'print its JSON Schema, for editors', () => writeJson(relayJsonSchema(), 2)))
    .addCommand(
      printing('reference', 'print what every key means, in Markdown', () =>
        writeOut(`${configReference().trimEnd()}\n`),
      ),
    )
}

function printing(name: string, description: string, write: () => void): Command {
  return new Command(name)
    .description(description)
    .addHelpText('after', examples(`config ${name}`))
    .action(() => write())
}
