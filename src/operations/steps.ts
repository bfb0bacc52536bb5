/** Is told how many pieces of a long work have been done since it was last told. */
export type Advance = (count: number) => void

/** How a long work reports, and is ended early: after the step that is under way. */
export interface StepOptions {
  readonly advance?: Advance
  readonly signal?: AbortSignal
}

/** Works through much in steps of `size`; what is on record then stays so if one fails. Returns how many were worked through. */
export async function inSteps<T>(
  all: readonly T[],
  size: number,
  { advance = () => {}, signal }: StepOptions,
  work: (step: T[]) => Promise<void>,
): Promise<number> {
  for (let start = 0; start < all.length; start += size) {
    if (signal?.aborted === true) return start
    const step = all.slice(start, start + size)
    await work(step)
    advance(step.length)
  }
  return all.length
}
