import type { Attached, RecordingUrl } from '../domain/attachments.ts'
import type { RecordingFile } from '../domain/delivery.ts'

/**
 * The payload with the member `attached` at its end. Put in as text, so that all else stays byte for byte as it was
 * received. `payload` is a JSON object with at least one member, as every event's is.
 */
export function withAttached(payload: Uint8Array, { transcript, recording }: Omit<Attached, 'release'>): Uint8Array {
  const members: Uint8Array[] = []
  if (transcript !== undefined) members.push(Buffer.from('"transcript":'), transcript ?? Buffer.from('null'))
  if (transcript !== undefined && recording !== undefined) members.push(Buffer.from(','))
  if (recording !== undefined) members.push(Buffer.from(`"recording":${JSON.stringify(described(recording))}`))
  const end = payload.lastIndexOf(CLOSE_OBJECT)
  return Buffer.concat([
    payload.subarray(0, end),
    Buffer.from(',"attached":{'),
    ...members,
    Buffer.from('}'),
    payload.subarray(end),
  ])
}

const CLOSE_OBJECT = 0x7d

function described(recording: RecordingUrl | RecordingFile | null): object | null {
  if (recording === null) return null
  if ('url' in recording) return { url: recording.url.reveal(), needsApiKey: recording.needsApiKey }
  return { contentType: recording.contentType, bytes: recording.bytes }
}
