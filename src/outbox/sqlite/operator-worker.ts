import { parentPort, workerData } from 'node:worker_threads'
import type { OutboxOperator } from '../operator.ts'
import { type Fault, toFault } from './faults.ts'
import { SqliteOperator } from './sqlite-operator.ts'

/** A method of the operator to call; the answer bears the same number. */
export interface Request {
  readonly id: number
  readonly method: Exclude<keyof OutboxOperator, 'close'>
  readonly args: unknown[]
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: Fault }
  /** It could not be opened. */
  | { readonly fault: Fault }
  | 'open'

/** A thread with an operator's connection of its own: what reads for long here keeps nobody waiting but who asked. */
function main(port: NonNullable<typeof parentPort>, path: string): void {
  const post = (answer: Answer) => port.postMessage(answer)
  try {
    const operator: OutboxOperator = SqliteOperator.open(path)
    port.on('message', async (message: Request | 'close') => {
      if (message === 'close') {
        await operator.close()
        port.close()
        return
      }
      const { id, method, args } = message
      try {
        const call = operator[method] as (...args: unknown[]) => Promise<unknown>
        post({ id, value: await call.apply(operator, args) })
      } catch (error) {
        post({ id, fault: toFault(error) })
      }
    })
    post('open')
  } catch (error) {
    post({ fault: toFault(error) })
    port.close()
  }
}

if (parentPort !== null) main(parentPort, workerData as string)
