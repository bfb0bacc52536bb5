import type { EventView } from '../domain/event-context.ts'
import type { Task, Values } from './tasks.ts'

/** The tasks of one queue are evaluated one after the other; each has its own thread, so that a slow template delays no condition. */
export const QUEUES = ['bodies', 'conditions', 'templates'] as const
export type QueueName = (typeof QUEUES)[number]

/** From the relay to the process: a task under a number of its choice. */
export interface ToProcess {
  readonly id: number
  readonly queue: QueueName
  readonly task: Task
  /** Null: the same as with the message before. An event may have many conditions, and a large body. */
  readonly body: Uint8Array | null
  readonly event: EventView | null
  /** CPU time that the task may take, in milliseconds. */
  readonly budgetMs: number
}

/** From the process to the relay. `overran`: the task was ended. `cpuMs`: what it took. */
export type FromProcess = { readonly id: number; readonly cpuMs: number } & (TaskResult | { readonly overran: string })

/** From the process to one of its threads. Bodies with the same number are the same. */
export interface ToThread {
  readonly task: Task
  readonly body: Uint8Array
  readonly bodyNumber: number
  readonly event: EventView | null
}

/** From a thread to the process; `ready` comes once, when the thread can be asked. */
export type FromThread = 'ready' | TaskResult

export type TaskResult =
  | { readonly value: Values[Task['kind']] }
  | { readonly failed: string; readonly isPayload?: true }
