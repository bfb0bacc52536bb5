import { createInterface } from 'node:readline'
import { Option } from 'commander'
import { RelayError } from '../domain/errors.ts'
import { printable } from '../domain/printable.ts'
import { ERRORS } from './output.ts'

export interface ConsentOptions {
  readonly yes?: boolean
  readonly dryRun?: boolean
}

export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean }
}

/** `--yes` and `--dry-run`, at every command that changes many things. */
export function consentOptions(): Option[] {
  return [
    new Option('-y, --yes', 'do not ask'),
    new Option('-n, --dry-run', 'tell only what would be done').conflicts('yes'),
  ]
}

/**
 * Tells on stderr what would be done and asks whether to go on; `--yes` is the answer for scripts. Only a clear yes is
 * one. Throws `usage` where nobody can be asked.
 */
export async function confirm(
  what: string,
  yes: boolean | undefined,
  { input, output }: Terminal = { input: process.stdin, output: ERRORS },
): Promise<boolean> {
  const would = printable(what)
  if (yes === true) {
    output.write(`${would}\n`)
    return true
  }
  if (input.isTTY !== true || output.isTTY !== true) {
    throw new RelayError('usage', `${would}; say --yes to do it (there is no terminal to ask at), or --dry-run`)
  }
  const lines = createInterface({ input, output })
  const answer = await new Promise<string>((resolve) => {
    lines.once('close', () => resolve(''))
    lines.question(`${would}. Go on? [y/N] `, resolve)
  })
  lines.close()
  if (/^y(es)?$/i.test(answer.trim())) return true
  output.write('nothing was changed\n')
  process.exitCode = 1
  return false
}
