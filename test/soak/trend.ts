/** A measured value, and when (seconds). */
export type Point = readonly [at: number, value: number]

/** By how much the straight line that fits best (least squares) rises from the first point to the last. */
export function growth(points: readonly Point[]): number {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined || first === last) return 0
  const [meanAt, meanValue] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))]
  let [products, squares] = [0, 0]
  for (const [at, value] of points) {
    products += (at - meanAt) * (value - meanValue)
    squares += (at - meanAt) ** 2
  }
  return (products / squares) * (last[0] - first[0])
}

/**
 * The last two thirds of the points, cut at their beginning to whole periods (seconds): half of a wave would be taken for a
 * rise or a fall.
 */
export function settled(points: readonly Point[], period: number): readonly Point[] {
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 0]
  const span = ((last - first) * 2) / 3
  const whole = span < period ? span : Math.floor(span / period) * period
  return points.filter(([at]) => at >= last - whole)
}

/** The value in the middle, of any number of values but none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
