import type { Stopwatch } from '../domain/clock.ts'

/** What `look` gives, looked at no more than once in `ms`: many who ask share one answer, one that fails too. */
export function lately<T>(look: () => Promise<T>, ms: number, stopwatch: Stopwatch): () => Promise<T> {
  let answer: Promise<T> | undefined
  let lookedAt = 0
  return () => {
    if (answer === undefined || stopwatch() - lookedAt >= ms) {
      lookedAt = stopwatch()
      answer = look()
    }
    return answer
  }
}
