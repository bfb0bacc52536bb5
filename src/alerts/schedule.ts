/** Calls `run` once, `ms` from now, unless what it returns is called before. Injected, so that tests need not wait. */
export type Schedule = (ms: number, run: () => void) => () => void

/** On the monotonic clock. Nothing scheduled keeps the process alive. */
export const systemSchedule: Schedule = (ms, run) => {
  const timer = setTimeout(run, ms)
  timer.unref()
  return () => clearTimeout(timer)
}
