/** An instant in epoch milliseconds as ISO text in UTC. */
export function iso(instant: number): string {
  return new Date(instant).toISOString()
}
