/** Is told how many pieces of a long work have been done since it was last told. */
export type Advance = (count: number) => void

/** Works through much in steps of `size`; what is on record then stays so if one fails. */
export async function inSteps<T>(
  all: readonly T[],
  size: number,
  advance: Advance,
  work: (step: T[]) => Promise<void>,
): Promise<void> {
  for (let start = 0; start < all.length; start += size) {
    const step = all.slice(start, start + size)
    await work(step)
    advance(step.length)
  }
}
