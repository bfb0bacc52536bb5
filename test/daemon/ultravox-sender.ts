import { randomUUID } from 'node:crypto'
import { Agent, request } from 'undici'
import { sampleEvent } from '../../src/domain/sample-event.ts'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxHeaders, ultravoxKey } from '../../src/domain/ultravox-signature.ts'

export const SECRET = 'whsec_test_5a0c'

export interface SendOptions {
  readonly secret?: string
  /** When it was signed, in epoch milliseconds. */
  readonly signedAt?: number
  readonly headers?: Record<string, string>
}

export interface SentAnswer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
}

/** A body as Ultravox would send it. */
export function bodyOf(event: string, callId: string = randomUUID()): Buffer {
  return Buffer.from(JSON.stringify(sampleEvent(event, callId, Date.now())))
}

/** Sends a signed body to a source and reads the answer. */
export async function send(url: string, body: Buffer, options: SendOptions = {}): Promise<SentAnswer> {
  const keys = [ultravoxKey(new Secret(options.secret ?? SECRET))]
  const signature = ultravoxHeaders(keys, body, options.signedAt ?? Date.now())
  const more = Object.entries(options.headers ?? {}).flat()
  const answer = await request(url, {
    method: 'POST',
    headers: ['content-type', 'application/json', ...signature, ...more],
    body,
    dispatcher,
  })
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
}

/** Keeps no connection for long, so that a test ends when it is done; takes any certificate. */
const dispatcher = new Agent({
  keepAliveTimeout: 100,
  keepAliveMaxTimeout: 100,
  connect: { rejectUnauthorized: false },
})
