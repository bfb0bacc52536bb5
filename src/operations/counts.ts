/** Counts how often each name comes, on top of what was counted before. */
export function countEach(names: readonly string[], counts = new Map<string, number>()): Map<string, number> {
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
