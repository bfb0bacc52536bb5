import { iso } from './iso.ts'

/** The provider's lifecycle events, in the order in which a call has them. */
export const LIFECYCLE_EVENTS = ['call.started', 'call.joined', 'call.ended', 'call.billed'] as const

const MINUTE_MS = 60_000

/**
 * A webhook payload as Ultravox would send it, about an invented call, shaped as the `Call` of its OpenAPI file. What is
 * filled in depends on how far the call has come: an event of another name gets a call that has just ended.
 * `now` in epoch milliseconds.
 */
export function sampleEvent(
  event: string,
  callId: string,
  now: number,
): { event: string; call: Record<string, unknown> } {
  const stage = (LIFECYCLE_EVENTS as readonly string[]).indexOf(event)
  const reached = (name: (typeof LIFECYCLE_EVENTS)[number]) => stage === -1 || stage >= LIFECYCLE_EVENTS.indexOf(name)
  const joined = reached('call.joined')
  const ended = reached('call.ended')
  const billed = stage === LIFECYCLE_EVENTS.indexOf('call.billed')
  const endedAt = ended ? now : now + 3 * MINUTE_MS
  return {
    event,
    call: {
      callId,
      clientVersion: joined ? 'sample/1.0' : null,
      created: iso(endedAt - 3 * MINUTE_MS - 4_000),
      joined: joined ? iso(endedAt - 3 * MINUTE_MS) : null,
      ended: ended ? iso(endedAt) : null,
      endReason: ended ? 'hangup' : null,
      billedDuration: billed ? '180s' : null,
      billedSideInputTokens: null,
      billedSideOutputTokens: null,
      billingStatus: billed ? 'BILLING_STATUS_BILLED' : 'BILLING_STATUS_PENDING',
      firstSpeaker: 'FIRST_SPEAKER_AGENT',
      firstSpeakerSettings: { agent: { text: 'Hello, how can I help you today?' } },
      initialOutputMedium: 'MESSAGE_MEDIUM_VOICE',
      joinTimeout: '30s',
      joinUrl: null,
      languageHint: 'en',
      maxDuration: '3600s',
      medium: { webRtc: {} },
      model: 'ultravox-v0.7',
      recordingEnabled: false,
      systemPrompt: 'You are a friendly receptionist. Answer briefly.',
      temperature: 0,
      voice: null,
      shortSummary: ended ? 'The caller moved an appointment from Monday to Thursday.' : null,
      summary: ended
        ? 'The caller asked to move an appointment from Monday to Thursday at ten. The agent found a free slot, confirmed the change and said goodbye.'
        : null,
      agent: { agentId: 'a5f3c9d2-6c1e-4d6a-9b1f-2d3c4b5a6978', name: 'Reception (sample)' },
      agentId: 'a5f3c9d2-6c1e-4d6a-9b1f-2d3c4b5a6978',
      experimentalSettings: null,
      metadata: { sample: 'true' },
      initialState: {},
      requestContext: {},
      sipDetails: null,
    },
  }
}
