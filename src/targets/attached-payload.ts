import type { Attached, RecordingUrl } from '../domain/attachments.ts'
import type { RecordingFile } from '../domain/delivery.ts'
import { asUtf8 } from '../domain/json-bytes.ts'

/**
 * The payload with the member `attached` at its end. Put in as text, so that all else stays byte for byte as it was
 * received, except that the result is in UTF-8. `received` is a JSON object with at least one member, as almost every event's
 * is; anything else is returned as it is.
 */
export function withAttached(received: Uint8Array, { transcript, recording }: Omit<Attached, 'release'>): Uint8Array {
  const members: Uint8Array[] = []
  if (transcript !== undefined) members.push(Buffer.from('"transcript":'), transcript ?? Buffer.from('null'))
  if (transcript !== undefined && recording !== undefined) members.push(Buffer.from(','))
  if (recording !== undefined) members.push(Buffer.from(`"recording":${JSON.stringify(described(recording))}`))
  const payload = asUtf8(received)
  if (!isObject(payload)) return received
  const end = payload.lastIndexOf(CLOSE_OBJECT)
  return Buffer.concat([
    payload.subarray(0, end),
    Buffer.from(',"attached":{'),
    ...members,
    Buffer.from('}'),
    payload.subarray(end),
  ])
}

const [OPEN_OBJECT, CLOSE_OBJECT] = [0x7b, 0x7d]

/** Whether a text starts and ends as an object does. An operator may have accepted a body that is not JSON. */
function isObject(payload: Uint8Array): boolean {
  const isText = (byte: number) => byte > 0x20
  return payload.find(isText) === OPEN_OBJECT && payload.findLast(isText) === CLOSE_OBJECT
}

function described(recording: RecordingUrl | RecordingFile | null): object | null {
  if (recording === null) return null
  if ('url' in recording) return { url: recording.url.reveal(), needsApiKey: recording.needsApiKey }
  return { contentType: recording.contentType, bytes: recording.bytes }
}
