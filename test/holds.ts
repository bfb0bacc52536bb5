import fc from 'fast-check'
import type { Test } from 'tap'

/**
 * Checks a property by as many runs, and tells the seed and what `figures` gives; `SEED` in the environment repeats a failure,
 * `RUNS` makes more of them.
 */
export async function holds<T>(
  t: Pick<Test, 'comment' | 'ok'>,
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  runs: number,
  figures: () => string = () => '',
): Promise<void> {
  const { SEED, RUNS } = process.env
  const numRuns = Number(RUNS ?? runs)
  const details = await fc.check(property as fc.IAsyncProperty<T>, {
    numRuns,
    ...(SEED !== undefined && { seed: Number(SEED) }),
  })
  t.comment(`seed ${details.seed}, ${details.numRuns} runs; ${figures()}`)
  t.ok(!details.failed, fc.defaultReportMessage(details) ?? 'it holds')
}
