import type { Clock } from '../../src/domain/clock.ts'
import { sampleEvent } from '../../src/domain/sample-event.ts'
import type { Entry } from './fake-pages.ts'

interface FakeCall {
  readonly sequence: number
  readonly created: string
  readonly fields: Record<string, unknown>
  readonly moreText: string
  readonly messages: Record<string, unknown>[]
  recording: FakeRecording | undefined
  /** As JSON; undefined after a change. */
  text: string | undefined
}

/** What the API answers to a request for a recording. */
export type FakeRecording = { readonly redirectTo: string } | { readonly wav: Buffer }

export interface CreateOptions {
  readonly callId?: string
  readonly agentId?: string
  /** More fields of the call, or others than it would have. */
  readonly fields?: Record<string, unknown>
  /** JSON members put at the end as they are, such as `"initialState":{"n":12345678901234567890}`. */
  readonly moreText?: string
}

/**
 * The calls of the account. What happens to them happens at the clock's time, and is told to `happened` with the call's
 * JSON text as it is then.
 */
export class FakeCalls {
  readonly #calls = new Map<string, FakeCall>()
  readonly #tombstones: Entry[] = []
  readonly #hidden = new Set<string>()
  readonly #clock: Clock
  readonly #happened: (event: string, callText: string, agentId: string) => void
  #created = 0

  constructor(clock: Clock, happened: (event: string, callText: string, agentId: string) => void) {
    this.#clock = clock
    this.#happened = happened
  }

  /** Gives the id of the new call. */
  create(options: CreateOptions = {}): string {
    this.#created += 1
    const callId = options.callId ?? `00000000-0000-4000-8000-${String(this.#created).padStart(12, '0')}`
    const created = this.#time()
    const fields = { ...sampleEvent('call.started', callId, this.#clock.now()).call, created, ...options.fields }
    if (options.agentId !== undefined) Object.assign(fields, { agentId: options.agentId })
    this.#calls.set(callId, {
      sequence: this.#created,
      created,
      fields,
      moreText: options.moreText ?? '',
      messages: [],
      recording: undefined,
      text: undefined,
    })
    this.#tell('call.started', callId)
    return callId
  }

  join(callId: string): void {
    this.#change(callId, 'call.joined', { joined: this.#time(), clientVersion: 'fake/1.0' })
  }

  /** With no word for why: a call nobody joined ends as `unjoined`. */
  end(callId: string, endReason?: string): void {
    const joined = this.#call(callId).fields.joined !== null
    this.#change(callId, 'call.ended', {
      ended: this.#time(),
      endReason: endReason ?? (joined ? 'hangup' : 'unjoined'),
    })
  }

  bill(callId: string, billingStatus = 'BILLING_STATUS_BILLED'): void {
    this.#change(callId, 'call.billed', { billingStatus, billedDuration: '60s' })
  }

  /** Takes a call out of the list, as long as `show` does not put it back. */
  hide(callId: string): void {
    this.#hidden.add(callId)
  }

  show(callId: string): void {
    this.#hidden.delete(callId)
  }

  /** A call that was deleted, and left nothing. */
  forgetTombstone(callId: string): void {
    const index = this.#tombstones.findIndex(({ text }) => (JSON.parse(text) as { callId: string }).callId === callId)
    this.#tombstones.splice(index, 1)
  }

  /** Changes fields without an event; undefined removes one. */
  override(callId: string, fields: Record<string, unknown>): void {
    const call = this.#call(callId)
    Object.assign(call.fields, fields)
    call.text = undefined
  }

  /** Leaves a tombstone. There is no event for it. */
  delete(callId: string): void {
    const { sequence, created, fields } = this.#call(callId)
    const { joined, ended, endReason, maxDuration, recordingEnabled } = fields
    const accountId = '11111111-1111-4111-8111-111111111111'
    const deletionTime = this.#time()
    const tombstone = {
      callId,
      accountId,
      created,
      deletionTime,
      joined,
      ended,
      maxDuration,
      endReason,
      recordingEnabled,
    }
    this.#calls.delete(callId)
    this.#tombstones.push({
      sequence,
      created,
      agentId: String(fields.agentId),
      text: JSON.stringify({ ...tombstone, hadSummary: true }),
    })
  }

  addMessage(callId: string, message: Record<string, unknown>): void {
    this.#call(callId).messages.push(message)
  }

  setRecording(callId: string, recording: FakeRecording): void {
    this.#call(callId).recording = recording
  }

  has(callId: string): boolean {
    return this.#calls.has(callId) && !this.#hidden.has(callId)
  }

  /** The call as JSON text: what a page, a request for it and a webhook have of it now. */
  text(callId: string): string {
    const call = this.#call(callId)
    call.text ??= textOf(call)
    return call.text
  }

  recording(callId: string): FakeRecording | undefined {
    return this.#call(callId).recording
  }

  entries(): Entry[] {
    const shown = [...this.#calls].filter(([callId]) => !this.#hidden.has(callId))
    return shown.map(([callId, { sequence, created, fields }]) => ({
      sequence,
      created,
      agentId: String(fields.agentId),
      text: this.text(callId),
    }))
  }

  deletedEntries(): Entry[] {
    return [...this.#tombstones]
  }

  /** `mode` as in the API: those of the last stage, unless it is `in_call`. A message of another stage has `stage`. */
  messageEntries(callId: string, mode: string | null): Entry[] {
    const { created, messages } = this.#call(callId)
    const last = messages.at(-1)?.stage
    const wanted = mode === 'in_call' ? messages : messages.filter(({ stage }) => stage === last)
    return wanted.map((message, sequence) => ({ sequence, created, text: JSON.stringify(message) }))
  }

  #change(callId: string, event: string, fields: Record<string, unknown>): void {
    const call = this.#call(callId)
    Object.assign(call.fields, fields)
    call.text = undefined
    this.#tell(event, callId)
  }

  #tell(event: string, callId: string): void {
    this.#happened(event, this.text(callId), String(this.#call(callId).fields.agentId))
  }

  #call(callId: string): FakeCall {
    const call = this.#calls.get(callId)
    if (call === undefined) throw new Error(`the fake has no call ${callId}`)
    return call
  }

  /** With microseconds, as finer than ours. */
  #time(): string {
    return new Date(this.#clock.now()).toISOString().replace('Z', '456Z')
  }
}

function textOf({ fields, moreText }: FakeCall): string {
  const text = JSON.stringify(fields)
  return moreText === '' ? text : `${text.slice(0, -1)},${moreText}}`
}
