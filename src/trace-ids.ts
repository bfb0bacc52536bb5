import { formatTraceparent, isAmong, SAMPLED } from './domain/trace-context.ts'
import { pooledRandom } from './random-pool.ts'

/** A new span's id: 16 random hex digits, not all zero. */
export function newSpanId(): string {
  return randomId(8)
}

/** Begins a trace: the id is new, and so is that of its first span. Sampled where it is among this share of traces. */
export function newTraceparent(sampledShare: number): string {
  const traceId = randomId(16)
  return formatTraceparent({ traceId, spanId: newSpanId(), flags: isAmong(sampledShare, traceId) ? SAMPLED : 0 })
}

function randomId(bytes: number): string {
  const id = pooledRandom(bytes).toString('hex')
  // Such an id would be no id. It will not happen; it need not be believed.
  return /[^0]/.test(id) ? id : randomId(bytes)
}
