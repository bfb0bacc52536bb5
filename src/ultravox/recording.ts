import type { Dispatcher } from 'undici'
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
  /** Why what the API itself gives is no recording; null where it is one, or leads elsewhere. */
  readonly problem: ProviderError | null
}

/** The API gives a recording itself or redirects to it: this asks which, and fetches nothing. */
export async function recordingOf(requests: Requests, path: string, signal?: AbortSignal): Promise<Recording> {
  const { status, headers } = await requests.send({ method: 'GET', path, name: path, headOnly: true }, signal)
  const here = new URL(path, requests.base)
  if (!isRedirect(status)) {
    return { url: new Secret(here.href), needsApiKey: true, problem: typeProblem(headers, here.host) }
  }
  const there = redirectedTo(here, headers.location)
  return { url: new Secret(there.href), needsApiKey: there.origin === here.origin, problem: null }
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
  return unusable(`${from.host} answered with a redirect ${why}`)
}

/** What a recording is sent as. Storages call what they do not know `octet-stream`. */
const AUDIO = /^(audio\/[\w.+-]+|(application|binary)\/octet-stream|application\/ogg)\s*(;|$)/i

/** Why an answer from a host is not audio; null where it is, or does not say. */
export function typeProblem(headers: Dispatcher.ResponseData['headers'], host: string): ProviderError | null {
  const contentType = textOf(headers['content-type'])
  if (contentType === undefined || AUDIO.test(contentType)) return null
  const type = /^[\w.+-]{1,40}\/[\w.+-]{1,60}/.exec(contentType)?.[0]
  return unusable(`${host} sent ${type ?? 'something'} instead of audio`)
}

/** The error of an answer that is no recording, and may never be one. */
export function unusable(message: string): ProviderError {
  return new ProviderError('provider_failed', message, { repeat: 'idempotent', unusable: true })
}

/** The first value of a header. */
export function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
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
