import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { RecordingFile } from '../domain/delivery.ts'
import { ToldError } from '../domain/network-error.ts'

/** A body of multipart/form-data. */
export interface Multipart {
  /** Name, value, …: its type and its length. */
  readonly headers: readonly string[]
  /** Reads the file only as it is read itself. To be destroyed when it is not read to its end. */
  readonly body: Readable
}

/** The part `event`, and the part `recording` where there is one, streamed from its file. */
export function multipart(
  event: Uint8Array,
  eventType: string | null,
  recording: RecordingFile | undefined,
): Multipart {
  const boundary = `relay-${randomUUID()}`
  const part = (name: string, more: string, contentType: string) =>
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${more}\r\ncontent-type: ${contentType}\r\n\r\n`,
    )
  const head = [part('event', '', eventType ?? 'application/octet-stream'), event, Buffer.from('\r\n')]
  const tail = [Buffer.from(`${recording === undefined ? '' : '\r\n'}--${boundary}--\r\n`)]
  if (recording !== undefined) head.push(part('recording', '; filename="recording"', recording.contentType))

  async function* written() {
    yield* head
    if (recording !== undefined && recording.bytes > 0) yield* contentOf(recording)
    yield* tail
  }

  const fixed = [...head, ...tail].reduce((sum, piece) => sum + piece.length, 0)
  return {
    headers: [
      'content-type',
      `multipart/form-data; boundary=${boundary}`,
      'content-length',
      String(fixed + (recording?.bytes ?? 0)),
    ],
    body: Readable.from(written(), { objectMode: false }),
  }
}

/** To its known length and no further, for that is what was announced. */
async function* contentOf({ path, bytes }: RecordingFile) {
  try {
    yield* createReadStream(path, { end: bytes - 1 })
  } catch (error) {
    throw new ToldError(`recording: its file cannot be read: ${(error as NodeJS.ErrnoException).code}`)
  }
}
