import { parsePayload } from '../domain/event.ts'
import { Secret } from '../domain/secret.ts'
import { rejectionOfHost } from '../outgoing/guard.ts'
import { isRedirect } from './exchange.ts'
import { ProviderError } from './provider-error.ts'
import type { Requests } from './requests.ts'

export interface Recording {
  /** Where it can be had. A URL the provider redirects to may itself be the permission to read it. */
  readonly url: Secret
  /** Whether the URL is the API's own, where the key must be sent along; it must not be sent to any other. */
  readonly needsApiKey: boolean
}

/** The API gives a recording itself or redirects to it: this asks which, and fetches nothing. */
export async function recordingOf(requests: Requests, path: string, signal?: AbortSignal): Promise<Recording> {
  const { status, headers } = await requests.send({ method: 'GET', path, name: path, headOnly: true }, signal)
  const here = new URL(path, requests.base)
  if (!isRedirect(status)) return { url: new Secret(here.href), needsApiKey: true }
  const there = redirectedTo(here, headers.location)
  return { url: new Secret(there.href), needsApiKey: there.origin === here.origin }
}

/**
 * Where a redirect leads. Throws `ProviderError` for what is not followed: no URL, another scheme, from https to http, and
 * the addresses and names that the relay never connects to. Names the host alone: the URL may be the permission to read.
 */
export function redirectedTo(from: URL, location: string | string[] | undefined): URL {
  if (typeof location !== 'string' || !URL.canParse(location, from.href)) throw rejected(from, 'to nowhere')
  const to = new URL(location, from)
  if (to.protocol !== 'https:' && to.protocol !== from.protocol)
    throw rejected(from, `to ${to.protocol}//, which is not followed`)
  const rejection = rejectionOfHost(to.hostname, '')
  if (rejection !== null) throw rejected(from, `that is not followed: ${rejection.message}`)
  return to
}

function rejected(from: URL, why: string): ProviderError {
  const message = `${from.host} answered with a redirect ${why}`
  return new ProviderError('provider_failed', message, { repeat: 'idempotent', unusable: true })
}

/**
 * Whether the event's call must have a recording sooner or later: recording was on, and it has not ended with nobody in it.
 * It is not documented what a 404 for a recording means, nor when one is ready.
 */
export function isRecorded(body: Uint8Array): boolean {
  const parsed = parsePayload(body)
  if ('problem' in parsed) return false
  const { recordingEnabled, joined, ended } = (parsed.payload.call ?? {}) as Record<string, unknown>
  const unjoined = ended != null && joined == null
  return recordingEnabled === true && !unjoined
}
