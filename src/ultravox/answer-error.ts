import type { Secret } from '../domain/secret.ts'
import { ProviderError } from './provider-error.ts'

/** An answer that is no 2xx. */
export interface BadAnswer {
  readonly status: number
  readonly retryAfterMs: number | undefined
  readonly text: string
}

/** Characters of an answer's text that are told. */
const TOLD = 300

/**
 * What an answer other than 2xx means. `request` is its method and path, as `GET /api/calls`. Where the provider finds
 * fault with what was sent, its own words are told, with all that is in `secrets` masked: it may quote the request.
 */
export function answerError(request: string, answer: BadAnswer, secrets: readonly Secret[]): ProviderError {
  const { status, retryAfterMs } = answer
  const facts = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) }
  if (status === 429) {
    return new ProviderError('provider_failed', `${request}: over the account's limit of requests (429)`, {
      ...facts,
      repeat: 'always',
    })
  }
  if (status >= 500) {
    return new ProviderError('provider_failed', `${request}: the provider failed (${status})`, {
      ...facts,
      repeat: 'idempotent',
    })
  }
  const advice = adviceFor(status) ?? `was rejected (${status})${told(answer.text, secrets)}`
  return new ProviderError('provider_refused', `${request}: ${advice}`, { ...facts, repeat: 'never' })
}

function adviceFor(status: number): string | undefined {
  if (status === 401) return 'the API key was refused (401): check ultravox.apiKey'
  if (status === 403) return 'the API key may not do this (403): use a key of the account that may'
  if (status === 404) return 'not found (404): deleted, of another account, or the base URL is not that of the API'
  if (status < 400) return `redirected (${status}), which is not followed: check the base URL`
  return undefined
}

function told(text: string, secrets: readonly Secret[]): string {
  // In JSON a secret is written with escapes, so both ways of writing it are looked for.
  const written = secrets
    .map((secret) => secret.reveal())
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .filter((secret) => secret !== '')
    // The longest first, or of one that begins like another its end would stay.
    .sort((a, b) => b.length - a.length)
  const masked = written.reduce((rest, secret) => rest.replaceAll(secret, '[secret]'), text)
  const line = masked.replace(/\s+/g, ' ').trim()
  if (line === '') return ''
  return `: ${line.length > TOLD ? `${line.slice(0, TOLD)}…` : line}`
}
