import { Command, InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { parseTimestamp } from '../domain/timestamp.ts'
import { headersAt, TIMESTAMP_FORMS, timestampText, ultravoxKey } from '../domain/ultravox-signature.ts'
import { chosenSource, sourceUrl } from './chosen-source.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { readInput } from './input-file.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { type SecretOptions, secretOptions, signingSecrets } from './source-secrets.ts'

interface SignOptions extends SecretOptions {
  readonly curl?: boolean
  readonly timestamp?: string
  readonly timestampForm: (typeof TIMESTAMP_FORMS)[number]
  readonly json?: boolean
}

/** Signs a body as Ultravox would, for requests made by hand. */
export function signCommand(): Command {
  const command = new Command('sign')
    .description('sign a body as Ultravox would, and print the headers')
    .argument('<file>', 'the body, byte for byte as it will be sent; - is standard input')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of secretOptions()) command.addOption(option)
  return command
    .addOption(
      new Option('--timestamp <time>', 'the timestamp to sign and send, exactly as written; default: now').argParser(
        timestampArgument,
      ),
    )
    .addOption(
      new Option('--timestamp-form <form>', 'how the time of now is written: as Ultravox does, with Z, or with +00:00')
        .choices(TIMESTAMP_FORMS)
        .default('naive')
        .conflicts('timestamp'),
    )
    .addOption(new Option('--curl', 'print a curl command that sends it to the relay on this machine'))
    .addHelpText(
      'after',
      examples(
        'sign event.json',
        'sign event.json --source ultravox --curl',
        'sign - --secret-file ./secret < event.json',
        'sign event.json --timestamp 2026-01-15T12:00:00.123456',
      ),
    )
    .action((file: string, options: SignOptions) => {
      const { secrets } = signingSecrets(options)
      const body = readInput(file)
      const keys = secrets.filter(({ isMissing }) => !isMissing).map(ultravoxKey)
      const timestamp = options.timestamp ?? timestampText(systemClock.now(), options.timestampForm)
      const headers = pairsOf(headersAt(keys, body, timestamp))
      const curl = options.curl === true ? { curl: curlCommand(urlOf(options), headers, file) } : {}
      if (options.curl === true && file === '-') note('give the command the same body on its standard input')
      const lines = headers.map(([header, value]) => `${header}: ${value}\n`).join('')
      print(
        options.json,
        { headers: Object.fromEntries(headers), ...curl },
        curl.curl === undefined ? lines : `${curl.curl}\n`,
      )
    })
}

function timestampArgument(text: string): string {
  if (parseTimestamp(text) !== null) return text
  throw new InvalidArgumentError('write an ISO 8601 time, as 2026-01-15T12:00:00.123456, with Z or with an offset')
}

function urlOf({ config: asked, source }: SignOptions): string {
  const { config } = loadWithoutSecrets(configFile(asked))
  return sourceUrl(config, chosenSource(config, source)[1])
}

function pairsOf(headers: readonly string[]): [string, string][] {
  return headers.flatMap((name, index): [string, string][] => (index % 2 === 0 ? [[name, headers[index + 1]!]] : []))
}

/** `--data-binary`, because `--data` would take the line breaks out of a file. */
function curlCommand(url: string, headers: readonly [string, string][], file: string): string {
  const all = [['content-type', 'application/json'], ...headers]
  const lines = all.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`)
  return [`curl -i ${quoted(url)}`, ...lines, `--data-binary ${quoted(`@${file}`)}`].join(' \\\n  ')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
