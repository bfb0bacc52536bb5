import type { UltravoxClient } from './client.ts'
import { readable } from './pages.ts'
import { ProviderError } from './provider-error.ts'
import { TooLarge } from './too-large.ts'

const [OPEN, COMMA, CLOSE] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')]

/**
 * All messages of a call as JSON text of one list, each as the provider wrote it. Null where the provider has no such
 * call (404). Throws `TooLarge`, or what the client throws.
 */
export async function fetchTranscript(
  client: Pick<UltravoxClient, 'listMessages'>,
  callId: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const page of client.listMessages(callId, signal)) {
      for (const { raw } of readable(page)) {
        pieces.push(pieces.length === 0 ? OPEN : COMMA, raw)
        bytes += raw.length + 1
      }
      if (bytes > maxBytes) throw new TooLarge('ultravox.enrich.maxTranscript', maxBytes)
    }
  } catch (error) {
    if (error instanceof ProviderError && error.status === 404) return null
    throw error
  }
  return Buffer.concat([...(pieces.length === 0 ? [OPEN] : pieces), CLOSE])
}
