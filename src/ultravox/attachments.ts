import type {
  Attached,
  AttachmentKind,
  Attachments,
  NotAttached,
  RecordingUrl,
  WantedAttachments,
} from '../domain/attachments.ts'
import type { Clock, Random } from '../domain/clock.ts'
import type { DeliveredEvent, Delivery } from '../domain/delivery.ts'
import { errorMessage } from '../domain/errors.ts'
import type { AttachmentStore } from '../outbox/attachments.ts'
import { createUltravoxClient, type UltravoxClient } from './client.ts'
import { withLinkedSignal } from './linked-signal.ts'
import { ProviderError } from './provider-error.ts'
import { isRecorded, type Recording } from './recording.ts'
import { download } from './recording-download.ts'
import { RecordingFiles } from './recording-files.ts'
import { RecordingRoom } from './recording-room.ts'
import { RequestGates } from './request-gate.ts'
import type { ApiAccess } from './requests.ts'
import { SingleFlight } from './single-flight.ts'
import { TooLarge } from './too-large.ts'
import { fetchTranscript } from './transcript.ts'

/** An account that attachments are fetched from, and within which bounds. */
export interface AttachmentSettings extends ApiAccess {
  readonly account: string
  readonly enrich: {
    readonly maxTranscriptBytes: number
    readonly maxRecordingBytes: number
    /** For one transcript or recording. */
    readonly timeoutMs: number
    /** How long one that is missing or unusable is waited for. Null or absent: for as long as the delivery is tried. */
    readonly maxWaitMs?: number | null
  }
}

export interface CallAttachmentsOptions {
  readonly store: AttachmentStore
  /** Where recordings are kept while they are needed. */
  readonly directory: string
  /** Throws where so many bytes more would take what the outbox keeps for itself. */
  readonly assertRoom: (bytes: number) => Promise<void>
  readonly clock: Clock
  /** The clock of the lanes, by which the wait for an attachment is measured. Absent: `clock`. */
  readonly steady?: Clock
  readonly random: Random
  readonly log: AttachmentsLog
  /** Shared by all that use the API; absent: its own. */
  readonly gates?: RequestGates
}

export interface AttachmentsLog {
  /** The provider has no such call, so there is no transcript to attach: deleted, or not of this account. */
  callGone(event: DeliveredEvent): void
  /** What is missing or unusable has been waited for as long as the settings say: null is attached in its place. */
  waitEnded(event: DeliveredEvent, kind: AttachmentKind, error: string): void
  /** Recordings that are not needed any more could not be removed; it is tried again. */
  notRemoved(error: string): void
}

/** The provider as it is configured at a time. Connections are made when something is fetched. */
interface Provider extends AttachmentSettings {
  readonly client: UltravoxClient
}

/** What is wanted for one attempt. */
interface Wish {
  readonly provider: Provider
  readonly event: DeliveredEvent
  /** Since when the delivery has been tried; null in its first attempt. */
  readonly triedSince: number | null
  readonly signal: AbortSignal
}

/**
 * Transcripts and recordings from the provider's API, fetched when a delivery is due that wants them. A transcript is kept
 * in the outbox and a recording in a file beside it until the event's last delivery is finished; the URL of a recording
 * may expire, so it is asked for before each attempt.
 */
export class CallAttachments implements Attachments {
  readonly #options: CallAttachmentsOptions
  readonly #transcripts = new SingleFlight<Uint8Array | null>()
  readonly #urls = new SingleFlight<RecordingUrl | null>()
  /** Give the content type of what is then in the file. */
  readonly #recordings = new SingleFlight<string | null>()
  readonly #files: RecordingFiles
  readonly #room: RecordingRoom
  readonly #gates: RequestGates
  readonly #clients: UltravoxClient[] = []
  #providers: readonly Provider[] = []
  #accountOf: (source: string) => string = () => ''

  constructor(options: CallAttachmentsOptions) {
    const { directory, store, assertRoom, log, gates = new RequestGates() } = options
    this.#options = options
    this.#gates = gates
    this.#room = new RecordingRoom(assertRoom)
    this.#files = new RecordingFiles({
      directory,
      needed: () => store.eventsWithRecording(),
      notRemoved: (error) => log.notRemoved(error),
    })
  }

  /**
   * Prepares to fetch from these accounts, which may fail; the returned function switches to them. `accountOf` names the
   * account of a source. What is under way ends with the settings it began with.
   */
  prepare(accounts: readonly AttachmentSettings[], accountOf: (source: string) => string): () => void {
    const { clock, random } = this.#options
    const gates = this.#gates
    const providers = accounts.map((settings) => ({
      ...settings,
      client: createUltravoxClient({ ...settings, clock, random, gates }),
    }))
    return () => {
      // Clients of earlier settings are closed at the end: without requests, they soon hold no connection.
      this.#clients.push(...providers.map(({ client }) => client))
      this.#providers = providers
      this.#accountOf = accountOf
    }
  }

  /** Removes the recordings that an earlier run has left and nobody needs. */
  cleanUp(): Promise<void> {
    return this.#files.sweep()
  }

  async fetch(
    event: DeliveredEvent,
    wanted: WantedAttachments,
    signal: AbortSignal,
    triedSince: number | null = null,
  ): Promise<Attached | NotAttached> {
    // The configuration has just changed: this attempt is for the lane that replaces this one.
    if (this.#providers.length === 0) return { kind: 'interrupted' }
    const account = this.#accountOf(event.source)
    const provider = this.#providers.find((each) => each.account === account) ?? this.#only()
    if (provider === undefined) {
      const error = `source ${event.source} belongs to no account in ultravox that attachments could be fetched from`
      return { kind: 'refused', error, unsent: true }
    }
    const wish = { provider, event, triedSince, signal }
    let kind: AttachmentKind = 'transcript'
    try {
      const text = () => this.#transcript(provider, event, signal)
      const transcript = wanted.transcript ? { transcript: await this.#orNull(wish, kind, text) } : {}
      kind = 'recording'
      const none = { kind: 'attached', ...transcript, release: async () => {} } as const
      if (wanted.recording === null) return none
      if (wanted.recording === 'file') {
        const file = await this.#orNull(wish, kind, () => this.#file(provider, event, signal))
        return file === null ? { ...none, recording: null } : { ...transcript, ...file }
      }
      return { ...none, recording: await this.#orNull(wish, kind, () => this.#url(provider, event, signal)) }
    } catch (error) {
      return signal.aborted ? { kind: 'interrupted' } : notAttached(kind, error)
    }
  }

  isPending({ deliveryId, round }: Delivery): Promise<boolean> {
    // An outbox that cannot be asked says nothing against it.
    return this.#options.store.isPending(deliveryId, round).catch(() => true)
  }

  /** The account of events that arrived through a source without one. */
  #only(): Provider | undefined {
    return this.#providers.length === 1 ? this.#providers[0] : undefined
  }

  /** Nothing is being fetched or attached when it is called. */
  async close(): Promise<void> {
    this.#files.close()
    await Promise.all(this.#clients.map((client) => client.close()))
  }

  /** What `get` gives, or null where that is missing or unusable and has been waited for long enough. */
  async #orNull<T>(wish: Wish, kind: AttachmentKind, get: () => Promise<T>): Promise<T | null> {
    try {
      return await get()
    } catch (error) {
      const { provider, event, triedSince, signal } = wish
      const maxWaitMs = provider.enrich.maxWaitMs ?? Number.POSITIVE_INFINITY
      const { clock, steady = clock, log } = this.#options
      const isOver = triedSince !== null && steady.now() - triedSince >= maxWaitMs
      if (signal.aborted || !isOver || !(error instanceof ProviderError) || !error.unusable) throw error
      log.waitEnded(event, kind, errorMessage(error))
      return null
    }
  }

  async #transcript(provider: Provider, event: DeliveredEvent, signal: AbortSignal): Promise<Uint8Array | null> {
    const { store, log } = this.#options
    const kept = await store.attachment(event.eventId, 'transcript')
    if (kept !== null) return kept.body
    return this.#transcripts.run(event.eventId, signal, (joint) =>
      inTime(provider, joint, async (timed) => {
        const { client, enrich } = provider
        const transcript = await fetchTranscript(client, event.callId!, enrich.maxTranscriptBytes, timed)
        if (transcript === null) log.callGone(event)
        else await store.saveAttachment(event.eventId, 'transcript', { contentType: JSON_TYPE, body: transcript })
        return transcript
      }),
    )
  }

  #url(provider: Provider, event: DeliveredEvent, signal: AbortSignal): Promise<RecordingUrl | null> {
    return this.#urls.run(event.eventId, signal, (joint) =>
      inTime(provider, joint, (timed) => recordingOfCall(provider, event, timed)),
    )
  }

  async #file(provider: Provider, event: DeliveredEvent, signal: AbortSignal): Promise<Attached> {
    const { eventId } = event
    const kept = await this.#options.store.attachment(eventId, 'recording')
    const before = kept === null ? null : await this.#lent(eventId, kept.contentType)
    if (before !== null) return before
    const contentType = await this.#recordings.run(eventId, signal, (joint) =>
      inTime(provider, joint, (timed) => this.#receive(provider, event, timed)),
    )
    if (contentType === null) return { kind: 'attached', recording: null, release: async () => {} }
    const lent = await this.#lent(eventId, contentType)
    if (lent === null) throw new Error('its file was removed')
    return lent
  }

  async #lent(eventId: string, contentType: string): Promise<Attached | null> {
    const lent = await this.#files.lend(eventId, contentType)
    if (lent === null) return null
    const { path, bytes, giveBack } = lent
    return { kind: 'attached', recording: { path, contentType, bytes }, release: giveBack }
  }

  /** Gives the content type of what is then in the file; null where there is no recording. */
  async #receive(provider: Provider, event: DeliveredEvent, signal: AbortSignal): Promise<string | null> {
    const { clock, store } = this.#options
    const { enrich } = provider
    const { eventId } = event
    const recording = await recordingOfCall(provider, event, signal)
    if (recording === null) return null
    const { contentType, bytes, chunks, cancel } = await download(recording, {
      access: provider,
      gate: provider.client.gate,
      clock,
      signal,
    })
    try {
      if (bytes > enrich.maxRecordingBytes) throw new TooLarge('ultravox.enrich.maxRecording', enrich.maxRecordingBytes)
      await this.#files.receive(eventId, this.#room.fitting(bytes, chunks), enrich.maxRecordingBytes, () =>
        store.saveAttachment(eventId, 'recording', { contentType, body: null }),
      )
      return contentType
    } finally {
      cancel()
    }
  }
}

const JSON_TYPE = 'application/json'

/** Null where there is none and will be none: one that must come is missing only now. */
async function recordingOfCall(
  { client }: Provider,
  { callId, body }: DeliveredEvent,
  signal: AbortSignal,
): Promise<Recording | null> {
  const recording = await client.recording(callId!, signal)
  if (recording?.problem) throw recording.problem
  if (recording !== null || !isRecorded(body)) return recording
  throw new ProviderError('provider_failed', 'the call is recorded, and Ultravox has no recording of it (404) yet', {
    status: 404,
    repeat: 'idempotent',
    unusable: true,
  })
}

function inTime<T>(
  { enrich: { timeoutMs } }: Provider,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new ProviderError('provider_failed', `timeout: not fetched within ${timeoutMs / 1000}s`, {
    repeat: 'idempotent',
  })
  return withLinkedSignal([signal], (linked, abort) => {
    timer = setTimeout(() => abort(late), timeoutMs)
    return work(linked)
  }).finally(() => clearTimeout(timer))
}

/** The attempt failed before the target was asked: it counts as one, and says nothing about the target. */
function notAttached(kind: AttachmentKind, error: unknown): NotAttached {
  const told = { error: `${kind}: ${errorMessage(error)}`, unsent: true } as const
  if (error instanceof TooLarge) return { kind: 'refused', ...told }
  const wait = error instanceof ProviderError ? error.retryAfterMs : undefined
  return { kind: 'failed', ...told, ...(wait !== undefined && { retryAfterMs: wait }) }
}
