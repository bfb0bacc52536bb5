import type { Call } from './batch.ts'

/** Calls on their way to the outbox's thread: all bodies are in one piece of memory, which is handed over and not copied. */
export interface PackedCalls {
  /** Without the bodies. */
  readonly calls: readonly Call[]
  readonly bodies: Uint8Array<ArrayBuffer>
  /** How many bytes each of those calls has that has a body, in their order. */
  readonly lengths: readonly number[]
}

/** What the main thread sends: calls to run together, or the wish to end. */
export type ToWorker = PackedCalls | 'close'

/** More are not put into one batch: the first of them would wait for all. */
const MOST_CALLS = 512

const NOTHING = new Uint8Array()

/** To hand over a piece of memory for each body was measured to take as long as all else that the main thread does for an event. */
export function pack(calls: readonly Call[]): PackedCalls {
  const found = calls.flatMap((call) => bodyOf(call) ?? [])
  const lengths = found.map(({ byteLength }) => byteLength)
  const bodies = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const body of found) {
    bodies.set(body, at)
    at += body.byteLength
  }
  return { calls: calls.map((call) => (bodyOf(call) === null ? call : withBody(call, NOTHING))), bodies, lengths }
}

export function unpack({ calls, bodies, lengths }: PackedCalls): Call[] {
  let at = 0
  let next = 0
  return calls.map((call) => {
    if (bodyOf(call) === null) return call
    const body = bodies.subarray(at, at + lengths[next]!)
    at += body.byteLength
    next += 1
    return withBody(call, body)
  })
}

/** What has come meanwhile is committed together. `isLast`: nothing comes after it. */
export function batchOf(first: ToWorker, next: () => ToWorker | undefined): { calls: Call[]; isLast: boolean } {
  const calls: Call[] = []
  for (let message: ToWorker | undefined = first; message !== undefined; message = next()) {
    if (message === 'close') return { calls, isLast: true }
    calls.push(...unpack(message))
    if (calls.length >= MOST_CALLS) break
  }
  return { calls, isLast: false }
}

/** The body that a call brings, or null. */
function bodyOf(call: Call): Uint8Array | null {
  if (call.method === 'record') return call.args[0].body
  if (call.method === 'reject') return call.args[0].kept?.body ?? null
  return null
}

function withBody(call: Call, body: Uint8Array): Call {
  if (call.method === 'record') {
    const [event, deliveries] = call.args
    return { method: 'record', args: [{ ...event, body }, deliveries] }
  }
  if (call.method === 'reject' && call.args[0].kept !== null) {
    const [rejection] = call.args
    return { method: 'reject', args: [{ ...rejection, kept: { ...call.args[0].kept, body } }] }
  }
  return call
}
