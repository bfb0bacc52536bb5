import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../src/domain/ultravox-signature.ts'

export const SECRET = 'whsec_bench_0a1b'
export const PATH = '/webhooks/ultravox'
/** What a call.ended event has on average. */
export const BODY_BYTES = 3_300

/** A genuine body about a call of its own, always of the same size. */
export function bodyOf(callId: string = randomUUID()): Buffer {
  const call = { callId, created: '2026-01-01T00:00:00.000Z', endReason: 'hangup', summary: '' }
  const bare = JSON.stringify({ event: 'call.ended', call })
  return Buffer.from(
    JSON.stringify({ event: 'call.ended', call: { ...call, summary: 'x'.repeat(BODY_BYTES - bare.length) } }),
  )
}

const KEYS = [ultravoxKey(new Secret(SECRET))]

/** What is sent with a body: its type, and its signature of now. */
export function headersOf(body: Buffer): string[] {
  return ['content-type', 'application/json', ...ultravoxHeaders(KEYS, body, Date.now())]
}

/** A file of requests, one after the other, each of the same size. */
export interface Requests {
  readonly file: string
  readonly bytesEach: number
  readonly count: number
}

/** More than can be sent in a second: a call that is sent twice is a duplicate, which costs less. */
const PER_SECOND = 25_000

/** What a process has just started is compiled by Node only after it has run for a while. */
export const WARM_UP_S = 2

let written: Promise<Requests> | undefined

/**
 * Different signed requests, enough for warming up and so many seconds. They are made once, for all cases, and removed at the
 * end.
 */
export function signedRequests(seconds: number): Promise<Requests> {
  written ??= writeRequests(PER_SECOND * (WARM_UP_S + seconds))
  return written
}

async function writeRequests(count: number): Promise<Requests> {
  const directory = mkdtempSync(join(tmpdir(), 'relay-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'requests')
  const out = createWriteStream(file)
  let bytesEach = 0
  for (let number = 0; number < count; number++) {
    const body = bodyOf()
    const headers = headersOf(body)
    const lines = [`POST ${PATH} HTTP/1.1`, 'host: bench', `content-length: ${body.length}`]
    for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`)
    const request = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
    bytesEach = request.length
    if (!out.write(request)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
  return { file, bytesEach, count }
}
