import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
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

/** Writes so many different signed requests into a file, one after the other. All have the size that is returned, in bytes. */
export async function writeRequests(file: string, count: number): Promise<number> {
  const out = createWriteStream(file)
  let size = 0
  for (let number = 0; number < count; number++) {
    const body = bodyOf()
    const headers = headersOf(body)
    const lines = [`POST ${PATH} HTTP/1.1`, 'host: bench', `content-length: ${body.length}`]
    for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`)
    const request = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
    size = request.length
    if (!out.write(request)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
  return size
}
