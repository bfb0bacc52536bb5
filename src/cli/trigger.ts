import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import type { Config, SourceConfig } from '../config/config.ts'
import { didYouMean } from '../config/suggestion.ts'
import { systemClock } from '../domain/clock.ts'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { callIdOf } from '../domain/event.ts'
import { LIFECYCLE_EVENTS, sampleEvent } from '../domain/sample-event.ts'
import { ultravoxHeaders, ultravoxKey } from '../domain/ultravox-signature.ts'
import { chosenSource, sourceUrl } from './chosen-source.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { withOutbox } from './open-outbox.ts'
import { writeError } from './output.ts'
import { askOwn, ownOrigin } from './own-listener.ts'
import { examples, jsonOption, print } from './printing.ts'

interface TriggerOptions {
  readonly config?: string
  readonly json?: boolean
  readonly callId?: string
  readonly source?: string
  readonly set: readonly Assignment[]
}

interface Assignment {
  readonly path: readonly string[]
  readonly value: unknown
}

/** Sends a sample event to a running relay, signed as the provider would, and prints the answer: 0 if it was accepted. */
export function triggerCommand(): Command {
  return new Command('trigger')
    .description('send a realistic, correctly signed sample event to the relay')
    .argument('<event>', `its name, such as ${LIFECYCLE_EVENTS.join(', ')}`)
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--call-id <id>', 'the call it is about (default: a new one)')
    .option('--source <name>', 'the source to send it to (default: the first one configured)')
    .option('--set <path=value>', 'change the payload, such as call.endReason=timeout; may be repeated', assign, [])
    .addHelpText(
      'after',
      examples('trigger call.ended', 'trigger call.ended --set call.endReason=agent_hangup --call-id my-call'),
    )
    .action(async (event: string, options: TriggerOptions) => {
      const { config } = loadTold(configFile(options.config))
      const near = LIFECYCLE_EVENTS.some((known) => known === event) ? '' : didYouMean(event, LIFECYCLE_EVENTS)
      if (near !== '') writeError(`note: Ultravox sends no event ${event}${near}\n`)
      const [name, source] = chosenSource(config, options.source)
      const payload = sampleEvent(event, options.callId ?? randomUUID(), systemClock.now())
      for (const { path, value } of options.set) setAt(payload, path, value)
      const url = await runningSourceUrl(config, source)
      const callId = callIdOf(payload)
      const before = await eventOnRecord(config, name, payload.event, callId)
      const { status, text: answer } = await send(config, url, Buffer.from(JSON.stringify(payload)), source)
      const isAccepted = status >= 200 && status < 300
      const duplicateOf = isAccepted ? before : null
      const text = duplicateOf === null ? answer : `duplicate of ${duplicateOf}, not recorded again`
      const document = { event: payload.event, callId, source: name, url, status, answer: text, duplicateOf }
      const call = `call ${callId ?? 'without id'}`
      print(options.json, document, `${payload.event} to source ${name}, ${call}: ${status} ${text}\n`)
      process.exitCode = isAccepted && duplicateOf === null ? 0 : 1
    })
}

/** Where the running relay has its listener, which `serve --listen` may have chosen. */
async function runningSourceUrl(config: Config, source: SourceConfig): Promise<string> {
  try {
    const daemon = await withOutbox(config.outbox.path, (operator) => operator.daemon())
    if (daemon?.running === true) return `${ownOrigin(config, daemon.listen)}${source.path}`
  } catch {
    // The outbox need not be readable here.
  }
  return sourceUrl(config, source)
}

/** The id of the event of this call that is on record; null where none is, or the outbox cannot be read here. */
async function eventOnRecord(
  config: Config,
  source: string,
  event: string,
  callId: string | null,
): Promise<string | null> {
  if (callId === null) return null
  try {
    const filter = { source, event, callId }
    const [found] = await withOutbox(config.outbox.path, (operator) => operator.listEvents(filter, 1))
    return found?.eventId ?? null
  } catch {
    return null
  }
}

async function send(
  config: Config,
  url: string,
  body: Buffer,
  source: SourceConfig,
): Promise<{ status: number; text: string }> {
  // With the first alone: a sample must not pass for proof that Ultravox signs with the new secret of a rotation.
  const signature =
    source.scheme === 'none'
      ? []
      : ultravoxHeaders(source.secrets.slice(0, 1).map(ultravoxKey), body, systemClock.now())
  try {
    const answer = await askOwn(config, url, {
      method: 'POST',
      headers: ['content-type', 'application/json', ...signature],
      body,
    })
    return { status: answer.statusCode, text: (await answer.body.text()) || 'accepted' }
  } catch (error) {
    throw new RelayError('daemon_unreachable', `no answer from ${url}: ${errorMessage(error)}; is the relay running?`, {
      cause: error,
    })
  }
}

/** `a.b.c=value`; the value is read as JSON where it is JSON, else as text. */
function assign(text: string, earlier: readonly Assignment[]): Assignment[] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('write it as path=value, such as call.endReason=timeout')
  return [...earlier, { path: text.slice(0, equals).split('.'), value: jsonOrText(text.slice(equals + 1)) }]
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function setAt(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = root
  for (const key of path.slice(0, -1)) {
    if (typeof at[key] !== 'object' || at[key] === null) at[key] = {}
    at = at[key] as Record<string, unknown>
  }
  at[path.at(-1)!] = value
}
