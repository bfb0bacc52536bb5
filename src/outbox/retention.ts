import type { ClockReading, ClockTrust } from '../domain/clock-trust.ts'

/** The log is taken over every few megabytes, so this much means that something keeps it from being so. */
export const MUCH_LOG_BYTES = 64 * 1024 * 1024

/**
 * Keeping the storage within its bounds while the daemon works on it. Each call is one short step, so that an event that
 * comes meanwhile waits for no longer than that takes. Instants are epoch milliseconds.
 */
export interface RetentionStore {
  /**
   * Goes on removing what need not be kept any more, for a few milliseconds, and gives space back to the file system.
   * Unfinished deliveries and what they need stay, and so does a dead one that holds its call back. While the clock is not
   * believed (`observeClock`), nothing goes for its age.
   */
  prune(policy: RetentionPolicy, now: number): Promise<Pruned>

  /** Takes down what the machine's clocks say, and judges whether the time can be believed. */
  observeClock(reading: ClockReading): Promise<ClockTrust>

  /**
   * How much of what is committed cannot be moved to its final place, since somebody still reads what was there before,
   * in bytes. It grows for as long as they read.
   */
  heldLogBytes(): Promise<number>
}

/** How long what is finished is kept, as in `outbox.retention`, and how much of it. */
export interface RetentionPolicy {
  readonly deliveredMs: number
  readonly deadMs: number
  readonly rejectionsMs: number
  /** Of events of which only the identity is left. */
  readonly keysMs: number
  /** Null: as much as there is. */
  readonly maxSizeBytes: number | null
}

/** What a step has done. */
export interface Pruned {
  /** Of these only the identity is left. */
  readonly events: number
  readonly rejections: number
  readonly keys: number
  /** Whether there is more to do now. */
  readonly more: boolean
  /** By how much the storage is larger than it may be, though nothing is left that may go. */
  readonly excessBytes: number
}
