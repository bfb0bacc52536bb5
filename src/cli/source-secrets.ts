import { Option } from 'commander'
import { formatProblem } from '../config/problem.ts'
import { judgeSecret, trimmed } from '../config/secret-text.ts'
import { RelayError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import { readingProblem, utf8Text } from '../safe-file.ts'
import { chosenSource } from './chosen-source.ts'
import { configFile, loadWithoutSecrets } from './config-file.ts'
import { readInput } from './input-file.ts'
import { note } from './printing.ts'

export interface SecretOptions {
  readonly config?: string
  readonly source?: string
  readonly secretFile?: string
}

/** What signatures are made and judged with. */
export interface SigningSecrets {
  /** Where they are from, for people: `source ultravox`, or a file. */
  readonly origin: string
  /** In the order of the configuration, perhaps missing ones among them, at least one that is not. */
  readonly secrets: readonly Secret[]
  readonly toleranceMs: number
}

/** `--source` and `--secret-file`, at the commands about signatures. */
export function secretOptions(): Option[] {
  return [
    new Option('--source <name>', 'the source whose secrets are meant (default: the first one configured)'),
    new Option('--secret-file <file>', 'the secret, in a file, instead of those of the source'),
  ]
}

/**
 * With `--secret-file` no configuration is read. Tells on stderr of secrets that cannot be had here. Throws `usage` where
 * none can, or the source has none.
 */
export function signingSecrets({ config: asked, source: wanted, secretFile }: SecretOptions): SigningSecrets {
  if (secretFile !== undefined) {
    return { origin: secretFile, secrets: [secretIn(secretFile)], toleranceMs: USUAL_TOLERANCE_MS }
  }
  const { config, missing } = loadWithoutSecrets(configFile(asked))
  const [name, source] = chosenSource(config, wanted)
  if (source.scheme === 'none') {
    throw new RelayError('usage', `source ${name} has no secrets (scheme: none): give one with --secret-file`)
  }
  const told = missing.filter(({ path }) => isOfSecrets(path, name)).map(formatProblem)
  if (source.secrets.every(({ isMissing }) => isMissing)) {
    throw new RelayError('usage', `${told.join('\n')}\nor give the secret in a file with --secret-file`)
  }
  for (const line of told) note(`warning: left out: ${line}`)
  return { origin: `source ${name}`, secrets: source.secrets, toleranceMs: source.toleranceMs }
}

/** Whether something stands where the secrets of a source are said, or the file they are in. */
export function isOfSecrets(path: string, source: string): boolean {
  return path.startsWith(`sources.${source}.secrets[`) || path === `sources.${source}.secretsFile`
}

/** What `ultravox.tolerance` is by default. */
const USUAL_TOLERANCE_MS = 60_000

/** Blanks and line breaks around the secret are left out, as in the configuration. */
function secretIn(file: string): Secret {
  const written = secretText(file).replace(/\r?\n$/, '')
  const text = trimmed(written)
  if (text !== written) note(`warning: blanks or line breaks around the secret in ${file} are left out`)
  for (const { message } of judgeSecret(text, false)) note(`warning: the secret in ${file} ${message}`)
  if (text === '') throw new RelayError('usage', `${file} is empty: write the secret into it`)
  return new Secret(text)
}

/** Ultravox signs with the UTF-8 bytes of a secret, so what is not UTF-8 is none of its secrets. Throws `usage`. */
function secretText(file: string): string {
  const bytes = readInput(file)
  try {
    return utf8Text(bytes)
  } catch (error) {
    throw new RelayError('usage', `the secret in ${file} cannot be read: ${readingProblem(error)}`)
  }
}
