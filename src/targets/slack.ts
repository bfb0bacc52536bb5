import type { Clock } from '../domain/clock.ts'
import type { DeliveredEvent } from '../domain/delivery.ts'
import type { Nulls } from '../domain/event-context.ts'
import type { Secret } from '../domain/secret.ts'
import { boundedTemplate, viewOf } from '../expressions/bounded.ts'
import type { ConnectionOptions } from '../outgoing/connector.ts'
import { configuredHeaders } from './configured-headers.ts'
import { createContentComposer } from './http-content.ts'
import { createHttpExchanges } from './http-exchange.ts'
import { slackOutcome } from './slack-answer.ts'
import { cutToSlackLimits, type SlackMessage } from './slack-limits.ts'
import type { Target } from './target.ts'
import { parseTargetUrl } from './target-url.ts'
import { problemOutcome, type TemplateOutcome } from './template-outcome.ts'

export interface SlackTargetOptions extends Required<Pick<ConnectionOptions, 'tls' | 'socketPath' | 'proxy'>> {
  readonly name: string
  readonly webhookUrl: Secret
  /** Sent with every request; `{{ JSONata }}` in them is filled in. */
  readonly headers: Readonly<Record<string, Secret>>
  /** Templates; null means the default message for the text, and no blocks. */
  readonly text: string | null
  readonly blocks: readonly unknown[] | null
  /** What templates see of fields that are null. Default: absent. */
  readonly nulls?: Nulls | undefined
  readonly timeoutMs: number
  readonly concurrency: number
}

const CONTENT_TYPE = 'application/json; charset=utf-8'

/** Posts a message about the event to a Slack incoming webhook. */
export function createSlackTarget(options: SlackTargetOptions, clock: Clock): Target {
  const { name, timeoutMs, concurrency, tls, socketPath, proxy } = options
  const url = parseTargetUrl(name, options.webhookUrl)
  const exchanges = createHttpExchanges({
    url,
    method: 'POST',
    timeoutMs,
    concurrency,
    tls,
    socketPath,
    proxy,
    allowLinkLocal: 'never',
    needsBody: true,
  })
  const compose = composer(options)
  const own = configuredHeaders(options.headers)
  const headers = own.contentType === null ? [...own.headers, 'content-type', CONTENT_TYPE] : own.headers
  const fillHeaders = createContentComposer({
    nulls: options.nulls,
    headers: own.templates,
    contentType: own.contentType,
  })

  return {
    name,
    async send(delivery, signal, onSent) {
      const message = await compose(delivery.event)
      if ('kind' in message) return message
      const filled = fillHeaders === null ? null : await fillHeaders(delivery)
      if (filled !== null && filled.kind !== 'content') return filled
      const sent = [...headers, ...(filled?.headers ?? [])]
      const result = await exchanges.send(sent, Buffer.from(JSON.stringify(message)), signal, onSent)
      return result.kind === 'answered' ? slackOutcome(result, clock.now()) : result
    },
    close: exchanges.close,
  }
}

type Composer = (event: DeliveredEvent) => Promise<SlackMessage | TemplateOutcome>

/** Makes the message, or says why there is none. */
function composer({ text, blocks, nulls = 'absent' }: SlackTargetOptions): Composer {
  const fill = boundedTemplate<'message'>({ kind: 'message', text, blocks, nulls })
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
