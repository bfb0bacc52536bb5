import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { parseTimestamp } from '../domain/timestamp.ts'
import { SIGNATURE_HEADER, TIMESTAMP_HEADER } from '../domain/ultravox-signature.ts'
import { configOption } from './config-file.ts'
import { readInput } from './input-file.ts'
import { duration, iso, isoOrNull } from './instant.ts'
import { examples, jsonOption, print } from './printing.ts'
import { type Claim, type Diagnosis, diagnose } from './signature-diagnosis.ts'
import { type SecretOptions, secretOptions, signingSecrets } from './source-secrets.ts'
import { styled } from './style.ts'

interface VerifyOptions extends SecretOptions {
  readonly timestamp?: string
  readonly signature?: string
  readonly headers?: string
  readonly json?: boolean
}

/** Judges a request that was kept: 0 genuine, however old it is, 1 not. */
export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('say whether a body and its signature are genuine, and if not, why: 0 genuine, 1 not')
    .argument('<file>', 'the body, byte for byte as it was received; - is standard input')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('--timestamp <text>', `the ${TIMESTAMP_HEADER} header`))
    .addOption(new Option('--signature <text>', `the ${SIGNATURE_HEADER} header`))
    .addOption(
      new Option('--headers <file>', 'the request\'s headers, a "Name: value" per line').conflicts([
        'timestamp',
        'signature',
      ]),
    )
  for (const option of secretOptions()) command.addOption(option)
  return command
    .addHelpText(
      'after',
      examples(
        'verify body.json --headers headers.txt',
        'verify body.json --timestamp 2026-01-15T12:00:00.123456 --signature e3914a7c…',
      ),
    )
    .action((file: string, options: VerifyOptions) => {
      const headers = claimedHeaders(options)
      const { origin, secrets, toleranceMs } = signingSecrets(options)
      const diagnosis = diagnose({ body: readInput(file), headers }, secrets)
      const sentAt = parseTimestamp(headers.get(TIMESTAMP_HEADER)?.[0] ?? '')
      const ageMs = sentAt === null ? null : systemClock.now() - sentAt
      const judged = { origin, secrets: secrets.length, sentAt, ageMs, toleranceMs }
      print(options.json, documentOf(diagnosis, judged), told(diagnosis, judged))
      process.exitCode = diagnosis.genuine ? 0 : 1
    })
}

interface Judged {
  readonly origin: string
  /** How many there are. */
  readonly secrets: number
  readonly sentAt: number | null
  readonly ageMs: number | null
  readonly toleranceMs: number
}

function claimedHeaders({ timestamp, signature, headers }: VerifyOptions): Claim['headers'] {
  if (headers !== undefined) return parseHeaders(readInput(headers).toString('latin1'))
  if (timestamp === undefined || signature === undefined) {
    throw new RelayError('usage', 'give both --timestamp and --signature, or --headers with a file that has them')
  }
  return new Map([
    [TIMESTAMP_HEADER, [timestamp]],
    [SIGNATURE_HEADER, [signature]],
  ])
}

/** Lines that are no headers, such as the request line, are passed over; `> ` is how curl -v shows them. */
function parseHeaders(text: string): Map<string, string[]> {
  const headers = new Map<string, string[]>()
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = /^(?:> )?([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined) continue
    headers.set(name.toLowerCase(), [...(headers.get(name.toLowerCase()) ?? []), value!])
  }
  return headers
}

function isWithinTolerance({ ageMs, toleranceMs }: Judged): boolean {
  return ageMs !== null && Math.abs(ageMs) <= toleranceMs
}

function documentOf(diagnosis: Diagnosis, judged: Judged): object {
  return {
    genuine: diagnosis.genuine,
    secret: diagnosis.genuine ? diagnosis.secret + 1 : null,
    secrets: judged.secrets,
    sentAt: isoOrNull(judged.sentAt),
    ageMs: judged.ageMs,
    toleranceMs: judged.toleranceMs,
    withinTolerance: isWithinTolerance(judged),
    code: diagnosis.genuine ? null : diagnosis.code,
    message: diagnosis.genuine ? null : diagnosis.message,
    cause: diagnosis.genuine ? null : diagnosis.cause,
  }
}

function told(diagnosis: Diagnosis, judged: Judged): string {
  const age = judged.sentAt === null ? '' : `sent ${iso(judged.sentAt)}, ${ageOf(judged)}\n`
  if (!diagnosis.genuine) {
    return `${styled('red', 'not genuine')}: ${diagnosis.message}\nlikely cause: ${diagnosis.cause}\n${age}`
  }
  const which = judged.secrets === 1 ? 'the secret' : `secret ${diagnosis.secret + 1} of ${judged.secrets}`
  return `${styled('green', 'genuine')}: signed with ${which} of ${judged.origin}\n${age}`
}

function ageOf(judged: Judged): string {
  const ageMs = judged.ageMs!
  const age = ageMs >= 0 ? `${duration(ageMs)} ago` : `${duration(-ageMs)} in the future`
  const tolerance = `the tolerance of ${duration(judged.toleranceMs)}`
  if (isWithinTolerance(judged)) return `${age}: within ${tolerance} now`
  return `${age}: not within ${tolerance}, so it would be refused now`
}
