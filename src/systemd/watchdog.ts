/** How often systemd wants a sign of life, in milliseconds; undefined where it wants none of this process. */
export function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv, pid: number): number | undefined {
  if (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== pid) return undefined
  const ms = Number(WATCHDOG_USEC) / 1_000
  return ms > 0 ? ms : undefined
}
