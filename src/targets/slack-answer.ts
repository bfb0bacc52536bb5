import { type AnswerKind, answerKind } from '../domain/answer-policy.ts'
import type { Outcome } from '../domain/outcome.ts'
import { answerOutcome } from './answer-outcome.ts'
import type { Answer } from './http-exchange.ts'
import { inlineText } from './slack-text.ts'

/**
 * Errors of Slack that condemn the message: the same payload gets the same answer. Those about the channel, the token or
 * the workspace are not among them, because an operator can fix these while the message waits.
 */
const PAYLOAD_ERRORS: ReadonlySet<string> = new Set([
  'invalid_payload',
  'invalid_blocks',
  'invalid_blocks_format',
  'invalid_attachments',
  'invalid_arguments',
  'invalid_arg_name',
  'invalid_array_arg',
  'invalid_charset',
  'invalid_form_data',
  'invalid_json',
  'invalid_metadata_format',
  'invalid_metadata_schema',
  'invalid_post_type',
  'json_not_object',
  'missing_post_type',
  'missing_text_or_fallback_or_attachments',
  'markdown_text_conflict',
  'metadata_too_large',
  'msg_blocks_too_long',
  'msg_too_long',
  'no_text',
  'too_many_attachments',
])

/** Characters of an answer's own words that are shown with the error. */
const REASON_LIMIT = 200

/** What an answer says in its body. */
interface Verdict {
  readonly isOk: boolean
  /** Slack's code of the error, such as `channel_not_found`. */
  readonly code?: string | undefined
  /** Details in words. */
  readonly reason?: string | undefined
}

/**
 * Returns the outcome of a complete answer. Only Slack's own ok counts as delivered: a proxy or a login page answers 200 as
 * well. `now` is in epoch milliseconds.
 */
export function slackOutcome(answer: Answer, now: number): Outcome {
  const { status, redirect = '', contentType, response = '' } = answer
  const isSuccess = status >= 200 && status < 300
  const verdict = verdictOf(response)
  const error = `${errorOf(status, contentType, verdict, isSuccess)}${redirect}`
  return answerOutcome(answer, kindOf(status, verdict, isSuccess), error, now)
}

function kindOf(status: number, { isOk, code }: Verdict, isSuccess: boolean): AnswerKind {
  if (isSuccess && isOk) return 'delivered'
  if (status < 500 && code !== undefined && PAYLOAD_ERRORS.has(code)) return 'rejected'
  return isSuccess ? 'failed' : answerKind(status)
}

function errorOf(status: number, contentType: string | undefined, { code, reason }: Verdict, isSuccess: boolean) {
  if (code !== undefined) return `slack: ${code}${reason === undefined ? '' : `: ${reason}`}`
  if (reason !== undefined) return `slack: ${isSuccess ? '' : `http ${status}: `}${reason}`
  if (!isSuccess) return `slack: http ${status}`
  const what = contentType === undefined ? 'no content type' : contentType.split(';')[0]!.trim()
  return `slack: answered ${status} with ${what}, not Slack's ok: is webhookUrl right?`
}

/**
 * Reads an answer: an incoming webhook says `ok` or a code as plain text, the Web API and workflows say `{"ok": …}`. Services
 * that take Slack's messages have forms of their own: `ok` (Mattermost, Discord), `{"success": true}` (Rocket.Chat),
 * `{"result": "success"}` (Zulip), and errors with a `message` or `msg`.
 */
function verdictOf(response: string): Verdict {
  const text = response.trim()
  if (text === 'ok') return { isOk: true }
  if (text.startsWith('{')) return jsonVerdict(text)
  const [code] = /^[a-z]+(_[a-z]+)+(?![\w<])/.exec(text) ?? []
  if (code !== undefined) return { isOk: false, code }
  // A page of HTML has no reason that could be shown.
  return { isOk: false, reason: text === '' || text.startsWith('<') ? undefined : inlineText(text, REASON_LIMIT) }
}

function jsonVerdict(text: string): Verdict {
  const answer = parsed(text)
  if (answer.ok === true || answer.success === true || answer.result === 'success') return { isOk: true }
  const messages = (answer.response_metadata as { messages?: unknown } | null | undefined)?.messages
  const [detail] = [messages, answer.errors].flat().filter((each) => typeof each === 'string')
  const words = [detail, answer.message, answer.msg, answer.error_description].find((each) => typeof each === 'string')
  const reason = words === undefined ? undefined : inlineText(words as string, REASON_LIMIT)
  const { error } = answer
  if (typeof error !== 'string' || error === '') return { isOk: false, reason }
  if (/^[\w.-]+$/.test(error)) return { isOk: false, code: error.slice(0, REASON_LIMIT), reason }
  return { isOk: false, reason: inlineText(error, REASON_LIMIT) }
}

/** Only the beginning of a long answer is kept, and Slack's repeats the message. */
function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    const [, ok] = /^\{\s*"ok"\s*:\s*(true|false)/.exec(text) ?? []
    const [, error] = /"error"\s*:\s*"([\w.-]+)"/.exec(text) ?? []
    return { ...(ok !== undefined && { ok: ok === 'true' }), ...(ok === 'false' && { error }) }
  }
}
