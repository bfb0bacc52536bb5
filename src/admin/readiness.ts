import { errorMessage } from '../domain/errors.ts'

/** What stands in the way of taking webhooks. */
export interface Obstacle {
  readonly check: 'stopping' | 'outbox' | 'disk'
  readonly message: string
}

export interface ReadinessOptions {
  readonly isStopping: () => boolean
  /** Writes something to the outbox that changes nothing; rejects where that cannot be done. */
  readonly write: () => Promise<void>
  readonly freeBytes: () => Promise<number>
  readonly reserveBytes: number
}

/** Longest time that writing may take. */
const PATIENCE_MS = 2_000

/** Looks at everything that it takes. Empty: the relay is ready. */
export async function obstacles({
  isStopping,
  write,
  freeBytes,
  reserveBytes,
}: ReadinessOptions): Promise<readonly Obstacle[]> {
  const stopping = isStopping() ? [{ check: 'stopping' as const, message: 'the relay is being stopped' }] : []
  return [
    ...stopping,
    ...(await problem('outbox', () => inTime(write()))),
    ...(await problem('disk', async () => {
      const free = await freeBytes()
      if (free < reserveBytes) throw new Error(`${free} bytes are free, less than outbox.reserve (${reserveBytes})`)
    })),
  ]
}

async function problem(check: Obstacle['check'], look: () => Promise<void>): Promise<Obstacle[]> {
  try {
    await look()
    return []
  } catch (error) {
    return [{ check, message: errorMessage(error) }]
  }
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing was written within ${PATIENCE_MS} ms`)), PATIENCE_MS)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
