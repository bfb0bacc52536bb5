import type { Clock } from '../domain/clock.ts'
import type { DeliveredEvent } from '../domain/delivery.ts'
import type { Outcome } from '../domain/outcome.ts'
import { waitHintMs } from '../domain/retry-after.ts'
import type { Secret } from '../domain/secret.ts'
import { boundedTemplate, viewOf } from '../expressions/bounded.ts'
import { type Answer, createHttpExchanges } from './http-exchange.ts'
import { cutToSlackLimits, type SlackMessage } from './slack-limits.ts'
import type { Target } from './target.ts'
import { parseTargetUrl } from './target-url.ts'
import { problemOutcome, type TemplateOutcome } from './template-outcome.ts'
import { USER_AGENT } from './user-agent.ts'

export interface SlackTargetOptions {
  readonly name: string
  readonly webhookUrl: Secret
  /** Templates; null means the default message for the text, and no blocks. */
  readonly text: string | null
  readonly blocks: readonly unknown[] | null
  readonly timeoutMs: number
  readonly concurrency: number
}

const HEADERS = ['content-type', 'application/json; charset=utf-8', 'user-agent', USER_AGENT]

/** Posts a message about the event to a Slack incoming webhook. */
export function createSlackTarget(options: SlackTargetOptions, clock: Clock): Target {
  const { name, timeoutMs, concurrency } = options
  const url = parseTargetUrl(name, options.webhookUrl)
  const exchanges = createHttpExchanges({
    url,
    method: 'POST',
    timeoutMs,
    concurrency,
    allowLinkLocal: 'never',
    needsBody: true,
  })
  const compose = composer(options)

  return {
    name,
    async send({ event }, signal, onSent) {
      const message = await compose(event)
      if ('kind' in message) return message
      const result = await exchanges.send(HEADERS, Buffer.from(JSON.stringify(message)), signal, onSent)
      return result.kind === 'answered' ? outcomeOf(result, clock) : result
    },
    close: exchanges.close,
  }
}

type Composer = (event: DeliveredEvent) => Promise<SlackMessage | TemplateOutcome>

/** Makes the message, or says why there is none. */
function composer({ text, blocks }: SlackTargetOptions): Composer {
  const fill = boundedTemplate<'message'>({ kind: 'message', text, blocks })
  return async (event) => {
    try {
      const filled = await fill(event.body, viewOf(event))
      return cutToSlackLimits({
        text: filled.text,
        ...(filled.blocks !== undefined && { blocks: JSON.parse(filled.blocks) as unknown[] }),
      })
    } catch (error) {
      return problemOutcome(error)
    }
  }
}

/** Slack answers with a status and, as plain text, a code: `invalid_blocks`, `channel_is_archived`, `no_service`. */
function outcomeOf({ status, waitHints, response, note }: Answer, clock: Clock): Outcome {
  const answer = { status, ...(response !== undefined && { response }), ...(note !== undefined && { note }) }
  if (status < 300) return { kind: 'delivered', ...answer }
  const code = /^[a-z]+(_[a-z]+)+(?![\w<])/.exec(response ?? '')?.[0]
  const error = `slack: ${code ?? `http ${status}`}`
  if (status !== 429 && status < 500) return { kind: 'refused', error, ...answer }
  const isThrottled = status === 429
  const wait = waitHintMs(waitHints, isThrottled, clock.now())
  return {
    kind: 'failed',
    error,
    ...answer,
    ...(isThrottled && { throttled: true }),
    ...(wait !== undefined && { retryAfterMs: wait }),
  }
}
