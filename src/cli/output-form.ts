import { type Command, Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { showAllColumns } from './printing.ts'

/** `-o json|wide`, at every command that has `--json`. */
export function outputOption(): Option {
  return new Option('-o, --output <form>', 'json: as --json; wide: all columns, also where they do not fit').choices([
    'json',
    'wide',
  ])
}

/** Throws `usage` where two forms are asked for. */
export function applyOutput(command: Command): void {
  const { output, json } = command.opts()
  if (output === 'json') command.setOptionValue('json', true)
  if (output !== 'wide') return
  if (json === true) throw new RelayError('usage', '--json and -o wide exclude each other: choose one')
  showAllColumns()
}
