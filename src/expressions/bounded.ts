import { setImmediate } from 'node:timers/promises'
import { RelayError } from '../domain/errors.ts'
import { abridgedPayload, bodyOf, isAbridged, type Payload, parsePayload } from '../domain/event.ts'
import type { EventView } from '../domain/event-context.ts'
import { isCheap } from '../domain/expression-cost.ts'
import type { Condition } from '../domain/routing.ts'
import { EXPRESSION_PROCESS, Overrun } from './process-client.ts'
import { type CompiledTask, compileTask, PayloadError, subjectOf, type Task, TaskError, type Values } from './tasks.ts'

export type { EventView } from '../domain/event-context.ts'
export { NotEvaluated, Overrun } from './process-client.ts'
export { PayloadError, TaskError, viewOf } from './tasks.ts'

/** CPU time for one task, and for all conditions on one payload together; `allowed` adds to it for large bodies. */
const TASK_MS = 250
const PAYLOAD_MS = 500
/** Parsing a hostile megabyte takes up to 180 ms, and what a target is sent is serialised again. */
const MEGABYTE_MS = 500
/** Hostile 5 MB take about a second. */
const READ_MS = 5_000
/** With less left a task is not started. */
const LEAST_MS = 20

/** Larger bodies are not even parsed here: `JSON.parse` takes up to 180 ms for a hostile megabyte. */
const LARGE_BODY = 128 * 1024

/** Time for cheap tasks before the event loop has its turn. */
const SLICE_MS = 10

/** A condition that overran this often in a row is suspended, as each time it delays all others. */
const MOST_OVERRUNS = 3
const SUSPENDED_MS = 10_000

/**
 * Compiles a JSONata condition that is bounded on every payload. It rejects with `TaskError` if the expression fails, with
 * `Overrun` if it takes more time or memory than it may, and with `NotEvaluated` if it cannot be evaluated now. Throws
 * `ExpressionError` if the text is not JSONata.
 */
export function boundedCondition(text: string): Condition {
  const task = { kind: 'condition', text } as const
  const compiled = compileTask<'condition'>(task)
  const suspension = new Suspension()
  return async (payload, source) => {
    const event = { name: payload.event, source }
    const { cost } = compiled
    if (cost !== null && !isAbridged(payload) && isCheap(cost, payload))
      return inTurn(compiled, { body: NO_BODY, payload, event })
    suspension.check()
    const body = bodyOf(payload)
    const mostMs = allowed(PAYLOAD_MS, body)
    const leftMs = Math.min(allowed(TASK_MS, body), mostMs - (spent.get(payload) ?? 0))
    if (leftMs < LEAST_MS) throw new Overrun(`the conditions on this event took more than ${mostMs} ms`)
    const { result, cpuMs } = await EXPRESSION_PROCESS.run('conditions', task, body, event, leftMs)
    spent.set(payload, (spent.get(payload) ?? 0) + cpuMs)
    // One that was not given its full time says nothing about itself.
    if (leftMs === allowed(TASK_MS, body)) suspension.note(result)
    return result() as boolean
  }
}

/**
 * Parses a body as `parsePayload` does. A large body is parsed in the process for expressions, and gives an abridged
 * payload. Throws `overloaded` if it cannot be parsed now.
 */
export async function readPayload(body: Uint8Array): Promise<ReturnType<typeof parsePayload>> {
  if (body.byteLength <= LARGE_BODY) return parsePayload(body)
  try {
    const { result } = await EXPRESSION_PROCESS.run('bodies', { kind: 'identity' }, body, null, READ_MS)
    const { event, callId } = result() as Values['identity']
    return { payload: abridgedPayload(event, callId, body) }
  } catch (error) {
    if (error instanceof PayloadError) return { problem: error.message }
    if (error instanceof TaskError) return { problem: `the body cannot be read: ${error.message}` }
    throw new RelayError('overloaded', (error as Error).message)
  }
}

/** Explains a condition as `explainCondition` does, within the same bounds as the condition itself has. */
export async function boundedExplanation(
  text: string,
  payload: Payload,
  source: string | undefined,
): Promise<Values['explanation']> {
  const task = { kind: 'explanation', text } as const
  compileTask<'explanation'>(task)
  const body = bodyOf(payload)
  const event = { name: payload.event, source }
  const { result } = await EXPRESSION_PROCESS.run('conditions', task, body, event, allowed(TASK_MS, body))
  return result() as Values['explanation']
}

/** Compiles what a target is sent. Bounded as `boundedCondition` is; rejects with `PayloadError` if the body is not an event's. */
export function boundedTemplate<K extends 'content' | 'message'>(
  task: Extract<Task, { kind: K }>,
): (body: Uint8Array, event: EventView | null) => Promise<Values[K]> {
  const compiled = compileTask<K>(task)
  return async (body, event) => {
    if (compiled.cost !== null && body.byteLength <= LARGE_BODY) {
      const subject = subjectOf(body, event)
      if (isCheap(compiled.cost, subject.payload)) return inTurn(compiled, subject)
    }
    const { result } = await EXPRESSION_PROCESS.run('templates', task, body, event, allowed(TASK_MS, body))
    return result() as Values[K]
  }
}

function allowed(ms: number, body: Uint8Array): number {
  return ms + Math.round((body.byteLength / 1024 / 1024) * MEGABYTE_MS)
}

const NO_BODY = new Uint8Array()

/** CPU time that conditions on a payload have taken, in milliseconds. */
const spent = new WeakMap<Payload, number>()

let turn: Promise<unknown> = Promise.resolve()
let sliceMs = 0

/**
 * Evaluates cheap tasks on this thread, one after the other. JSONata awaits promises but never yields to the event loop, so
 * tasks that start together would hold it until the last one ends.
 */
async function inTurn<T>(task: CompiledTask<T>, subject: Parameters<CompiledTask<T>['evaluate']>[0]): Promise<T> {
  const evaluated = turn.then(async () => {
    if (sliceMs >= SLICE_MS) {
      await setImmediate()
      sliceMs = 0
    }
    const begunAt = performance.now()
    try {
      return await task.evaluate(subject)
    } finally {
      sliceMs += performance.now() - begunAt
    }
  })
  turn = evaluated.catch(() => {})
  return evaluated
}

class Suspension {
  #overruns = 0
  #until = 0

  /** Throws `Overrun` while the condition is not to be evaluated. */
  check(): void {
    if (performance.now() < this.#until) {
      throw new Overrun(
        `it overran ${MOST_OVERRUNS} times in a row, and is not evaluated for ${SUSPENDED_MS / 1_000} s`,
      )
    }
  }

  note(result: () => unknown): void {
    try {
      result()
      this.#overruns = 0
    } catch (error) {
      this.#overruns = error instanceof Overrun ? this.#overruns + 1 : 0
    }
    // One more overrun after the pause begins the next.
    if (this.#overruns >= MOST_OVERRUNS) this.#until = performance.now() + SUSPENDED_MS
  }
}
