/** Attempts in a row during which the relay may end unexpectedly. After them the delivery ends dead. */
export const MOST_INTERRUPTED_STARTS = 5

/**
 * How long after the start of the relay a delivery waits, by the number of interrupted starts, in milliseconds. The later ones
 * outlast a relay that crashes again soon after each start for a reason of its own.
 */
const DELAYS_MS = [0, 1_000, 5_000, 20_000, 60_000]

/** The delay after the start of the relay before a delivery is sent that was under way when earlier runs ended unexpectedly. */
export function delayAfterInterruptedStarts(starts: number): number {
  return DELAYS_MS[starts] ?? 0
}

/** The error of a delivery that is given up, because each attempt ended with the relay. */
export const INTERRUPTED_TOO_OFTEN = `the relay ended unexpectedly during ${MOST_INTERRUPTED_STARTS} attempts in a row`
