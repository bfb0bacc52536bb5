import { parsePayload } from '../domain/event.ts'
import { Secret } from '../domain/secret.ts'
import { isRedirect } from './exchange.ts'
import type { Requests } from './requests.ts'
import { unexpected } from './shapes.ts'

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
  const { location } = headers
  if (typeof location !== 'string' || !URL.canParse(location, here.href)) {
    throw unexpected(`GET ${path}`, 'a redirect to nowhere')
  }
  const there = new URL(location, here)
  return { url: new Secret(there.href), needsApiKey: there.origin === here.origin }
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
