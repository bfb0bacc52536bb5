import { parentPort } from 'node:worker_threads'
import { errorMessage } from '../domain/errors.ts'
import type { FromThread, TaskResult, ToThread } from './protocol.ts'
import { type CompiledTask, compileTask, PayloadError, type Subject, subjectOf, type Task } from './tasks.ts'

/** The longest result of a task, in UTF-16 units: the main thread copies it. */
const LONGEST_RESULT = 16 * 1024 * 1024
/** A configuration has far fewer, but each reload may bring others. */
const MOST_COMPILED = 1_000

/** Evaluates one task after the other, without a bound of time: the process ends the thread. */
function main(): void {
  const compiled = new Map<string, CompiledTask<unknown>>()
  const compiledOf = (task: Task) => {
    const key = JSON.stringify(task)
    if (compiled.size >= MOST_COMPILED) compiled.clear()
    if (!compiled.has(key)) compiled.set(key, compileTask(task))
    return compiled.get(key)!
  }
  let last: { readonly bodyNumber: number; readonly subject: Subject } | undefined
  const subjectIn = ({ body, bodyNumber, event }: ToThread) => {
    if (last?.bodyNumber !== bodyNumber) {
      // There may not be room for two: a body of 5 MB can take more than half of the thread's memory.
      last = undefined
      last = { bodyNumber, subject: subjectOf(body, event) }
    }
    return { ...last.subject, event }
  }
  const resultOf = async (request: ToThread): Promise<TaskResult> => {
    try {
      return checked(await compiledOf(request.task).evaluate(subjectIn(request)))
    } catch (error) {
      return { failed: errorMessage(error), ...(error instanceof PayloadError && { isPayload: true }) }
    }
  }
  parentPort!.on('message', async (request: ToThread) => parentPort!.postMessage(await resultOf(request)))
  // Loads JSONata, so that the first task does not pay.
  compileTask({ kind: 'condition', text: 'true' })
  parentPort!.postMessage('ready' satisfies FromThread)
}

function checked(value: unknown): TaskResult {
  // The length of a Uint8Array is that of what came in at most.
  const { length } = JSON.stringify(value, (_, inner) => (inner instanceof Uint8Array ? undefined : inner))
  if (length > LONGEST_RESULT) throw new Error(`it comes to more than ${LONGEST_RESULT / 1024 / 1024} MB`)
  return { value } as TaskResult
}

main()
