import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config, TargetConfig } from '../config/config.ts'
import type { Attached, Attachments, WantedAttachments } from '../domain/attachments.ts'
import { systemClock } from '../domain/clock.ts'
import type { DeliveredEvent } from '../domain/delivery.ts'
import type { Outcome } from '../domain/outcome.ts'
import { sampleEvent } from '../domain/sample-event.ts'
import { MASK } from '../domain/secret.ts'
import { configuredTarget } from '../operations/known-target.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { examples, jsonOption, note, print } from './printing.ts'
import { type SentRequest, watchingRequests } from './sent-requests.ts'
import { styled } from './style.ts'
import { oneLine } from './table.ts'

type Factory = typeof import('../target-factory.ts')

interface TestOptions {
  readonly config?: string
  readonly event: string
  readonly json?: boolean
}

/** Sends one event to one target, past the outbox: 0 if it was taken, 1 if not. */
export function targetsTestCommand(): Command {
  return new Command('test')
    .description(
      'send one sample event to a target, and show what was sent and what came back; the outbox is not touched',
    )
    .argument('<name>', 'the target')
    .addOption(configOption())
    .addOption(jsonOption())
    .addOption(new Option('--event <name>', 'the name of the event').argParser(eventName).default('call.ended'))
    .addHelpText(
      'after',
      `\nThe event tells that it is a test: its webhook-id starts with evt_test_, its call id with test-, and call.metadata is
{"test": "true"}. It is sent once, whether the target is paused or not. What is attached is made up as well: two messages,
and no recording.
${examples('targets test crm', 'targets test ops --event call.billed --json')}`,
    )
    .action(async (name: string, options: TestOptions) => {
      const { config } = loadTold(configFile(options.config))
      const target = configuredTarget(config, name)
      // Loaded here, as the HTTP client takes long to load and few commands need it.
      const factory = await import('../target-factory.ts')
      const event = testEvent(config, options.event)
      const startedAt = systemClock.now()
      const { result: outcome, sent } = await watchingRequests(() => attempt(factory, name, target, config, event))
      const durationMs = systemClock.now() - startedAt
      const request = requestOf(target, sent[0], inputOf(target, event, factory), factory.concealerOf(target))
      const document = { target: name, type: target.type, eventId: event.eventId, request, outcome, durationMs }
      print(options.json, document, told(document))
      if (target.paused) note(`${name} is paused by its configuration: other events are queued`)
      process.exitCode = outcome.kind === 'delivered' ? 0 : 1
    })
}

function eventName(text: string): string {
  if (text === '') throw new InvalidArgumentError('write the name of an event, such as call.ended')
  return text
}

function testEvent({ sources }: Config, name: string): DeliveredEvent {
  const callId = `test-${randomUUID()}`
  const { event, call } = sampleEvent(name, callId, systemClock.now())
  return {
    eventId: `evt_test_${randomUUID().replaceAll('-', '')}`,
    source: Object.keys(sources)[0]!,
    event,
    callId,
    receivedAt: systemClock.now(),
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify({ event, call: { ...call, metadata: { test: 'true' } } })),
  }
}

async function attempt(
  factory: Factory,
  name: string,
  target: TargetConfig,
  { directory }: Config,
  event: DeliveredEvent,
): Promise<Outcome> {
  const launcher = new factory.Launcher()
  const delivery = { deliveryId: 0, target: name, attempts: 0, round: 1, roundAttempts: 0, firstAttemptAt: null, event }
  const made = factory.createTarget(name, target, directory, systemClock, launcher, SAMPLE_ATTACHMENTS)
  try {
    return await made.send(delivery, new AbortController().signal)
  } finally {
    await made.close()
    await launcher.close()
  }
}

/** The event's call is made up, so nothing can be fetched of it. */
const SAMPLE_ATTACHMENTS: Attachments = {
  fetch: async (_, wanted) => sampleAttached(wanted),
  isPending: async () => true,
}

function sampleAttached(wanted: WantedAttachments): Attached {
  return {
    kind: 'attached',
    ...(wanted.transcript && { transcript: Buffer.from(JSON.stringify(SAMPLE_TRANSCRIPT)) }),
    ...(wanted.recording !== null && { recording: null }),
    release: async () => {},
  }
}

const SAMPLE_TRANSCRIPT = [
  { role: 'MESSAGE_ROLE_AGENT', text: 'Hello, how can I help?' },
  { role: 'MESSAGE_ROLE_USER', text: 'This is a test.' },
]

/** What was sent, without secrets. Null where it never came to that. */
type ShownRequest =
  | { readonly command: readonly string[]; readonly body: string }
  | { readonly method: string; readonly url: string; readonly headers: SentRequest['headers']; readonly body: string }
  | null

/** What a program gets on its standard input. */
function inputOf({ attach }: TargetConfig, { body }: DeliveredEvent, { withAttached }: Factory): Uint8Array {
  return attach === null ? body : withAttached(body, sampleAttached(attach))
}

function requestOf(
  target: TargetConfig,
  sent: SentRequest | undefined,
  input: Uint8Array,
  conceal: (text: string) => string,
): ShownRequest {
  if (target.type === 'exec') {
    return { command: target.command.map(conceal), body: Buffer.from(input).toString('utf8') }
  }
  if (sent === undefined) return null
  const secretNames = Object.keys(target.headers).map((name) => name.toLowerCase())
  const headers = sent.headers.map(
    ([name, value]) => [name, secretNames.includes(name.toLowerCase()) ? MASK : conceal(value)] as const,
  )
  const url = new URL((target.type === 'http' ? target.url : target.webhookUrl).reveal())
  const path = url.pathname === '/' && url.search === '' ? '' : MASK
  return { method: sent.method, url: `${url.origin}/${path}`, headers, body: conceal(sent.body) }
}

interface Told {
  readonly request: ShownRequest
  readonly outcome: Outcome
  readonly durationMs: number
}

function told({ request, outcome, durationMs }: Told): string {
  return `${request === null ? 'nothing was sent\n' : requestText(request)}\n${outcomeText(outcome, durationMs)}`
}

function requestText(request: NonNullable<ShownRequest>): string {
  if ('command' in request) return `${oneLine(request.command.join(' '))}\n\n${indented(request.body)}`
  const headers = request.headers.map(([name, value]) => styled('dim', oneLine(`${name}: ${value}`)))
  return [`${request.method} ${request.url}`, ...headers, '', indented(request.body)].join('\n')
}

function outcomeText(outcome: Outcome, durationMs: number): string {
  if (outcome.kind === 'interrupted') return 'interrupted\n'
  const { kind, status, response, note } = outcome
  const verdict = styled(kind === 'delivered' ? 'green' : 'red', VERDICTS[kind])
  const why = 'error' in outcome ? `: ${oneLine(outcome.error)}` : ''
  const ended = status === undefined ? '' : `, status ${status}`
  const noted = note === undefined ? '' : `note: ${oneLine(note)}\n`
  return `${verdict}${why}${ended}, after ${durationMs} ms\n${noted}${response === undefined ? '' : indented(response)}`
}

const VERDICTS = { delivered: 'delivered', failed: 'failed (would be tried again)', refused: 'refused (would be dead)' }

function indented(text: string): string {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/)
  return lines.map((line) => `  ${oneLine(line)}\n`).join('')
}
