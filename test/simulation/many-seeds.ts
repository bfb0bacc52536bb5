import type { Test } from 'tap'
import { simulate } from './simulation.ts'

/** Plays seeds one after the other, and fails with how to see it again at the first that breaks a promise. */
export async function playSeeds(t: Test, first: number, count: number): Promise<void> {
  const total = { steps: 0, crashes: 0, acknowledged: 0, sent: 0 }
  for (let seed = first; seed < first + count; seed++) {
    const result = await simulate(seed)
    if (result.broken !== null) {
      t.comment(result.trace.slice(-60).join('\n'))
      t.fail(`seed ${seed}: ${result.broken}; again: FIRST_SEED=${seed} SEEDS=1 npm run test:faults`)
      return
    }
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += result[key]
  }
  const { steps, crashes, acknowledged, sent } = total
  t.comment(
    `seeds ${first} to ${first + count - 1}: ${acknowledged} events acknowledged, ${sent} attempts, ${crashes} crashes, ${steps} steps`,
  )
  t.ok(acknowledged > count && sent > count, 'the seeds were worth playing')
}
