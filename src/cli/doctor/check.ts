import { errorMessage } from '../../domain/errors.ts'

/** What a check has found about one thing. */
export interface CheckResult {
  /** What it is about, such as `target crm`. */
  readonly name: string
  /** `problem`: something does not work, or is not safe. `warning`: somebody should look at it. */
  readonly level: 'ok' | 'warning' | 'problem'
  readonly message: string
  /** What to do; null where all is well. */
  readonly advice: string | null
}

/** Looks at something; a throw is a problem of what it is about. */
export interface Check {
  readonly name: string
  readonly run: () => Promise<CheckResult[]>
}

export function ok(name: string, message: string): CheckResult {
  return { name, level: 'ok', message, advice: null }
}

export function warning(name: string, message: string, advice: string): CheckResult {
  return { name, level: 'warning', message, advice }
}

export function problem(name: string, message: string, advice: string): CheckResult {
  return { name, level: 'problem', message, advice }
}

/** Runs all at the same time; the results are in the order of the checks. */
export async function runChecks(checks: readonly Check[], timeoutMs: number): Promise<CheckResult[]> {
  return (await Promise.all(checks.map((check) => runInTime(check, timeoutMs)))).flat()
}

async function runInTime({ name, run }: Check, timeoutMs: number): Promise<CheckResult[]> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<CheckResult[]>((resolve) => {
    const told = [
      problem(name, `no result within ${timeoutMs / 1000} s`, 'try it again, and look at what it waits for'),
    ]
    timer = setTimeout(resolve, timeoutMs, told)
  })
  try {
    return await Promise.race([run(), late])
  } catch (error) {
    return [problem(name, errorMessage(error), 'see what it says')]
  } finally {
    clearTimeout(timer)
  }
}
