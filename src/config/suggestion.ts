/** ` (did you mean "url"?)`, or nothing where no candidate is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearest(word, candidates)
  return near === undefined ? '' : ` (did you mean "${near}"?)`
}

/** The candidate a slip of the finger away from `word`, if any. Case, dots, dashes and underscores are forgiven. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = simplify(word)
  let best: string | undefined
  let smallest = plain.length < 5 ? 2 : 3
  for (const candidate of candidates) {
    const distance = editDistance(plain, simplify(candidate))
    if (distance < smallest) {
      best = candidate
      smallest = distance
    }
  }
  return best
}

function simplify(word: string): string {
  return word.toLowerCase().replace(/[._-]/g, '')
}

/** Insertions, deletions, substitutions and swaps of neighbours needed to turn one word into the other. */
function editDistance(from: string, to: string): number {
  let previous: number[] = []
  let current = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const cost = from[i - 1] === to[j - 1] ? 0 : 1
      let best = Math.min(current[j]! + 1, next[j - 1]! + 1, current[j - 1]! + cost)
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      if (swapped) best = Math.min(best, previous[j - 2]! + 1)
      next.push(best)
    }
    previous = current
    current = next
  }
  return current[to.length]!
}
