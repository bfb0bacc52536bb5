import * as z from 'zod'

/** What can be fetched of a call and sent along with its events. */
export const ATTACHMENTS = ['transcript', 'recording'] as const

/** The keys of a target that can take a call's transcript and its recording. */
export const attachable = {
  attach: z
    .array(z.enum(ATTACHMENTS))
    .prefault([])
    .meta({
      description:
        'What to fetch of the call and send along, as the member attached of the payload: transcript, recording. ' +
        'Needs the ultravox section.',
    }),
  recordingAs: z
    .enum(['url', 'file'])
    .prefault('url')
    .meta({
      description:
        'An attached recording: url, where it can be had, for whoever has the URL; or file, fetched and sent along: ' +
        'multipart/form-data to http, the path in RELAY_RECORDING_FILE to exec.',
    }),
}
