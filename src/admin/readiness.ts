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
  /** Why there is no room for events, in plain words; null where there is: what those are told who send them. */
  readonly lackOfSpace: () => string | null
}

/** Longest time that writing may take. */
const PATIENCE_MS = 2_000

/** Looks at everything that it takes. Empty: the relay is ready. */
export async function obstacles({ isStopping, write, lackOfSpace }: ReadinessOptions): Promise<readonly Obstacle[]> {
  const obstacles: Obstacle[] = []
  if (isStopping()) obstacles.push({ check: 'stopping', message: 'the relay is being stopped' })
  try {
    await inTime(write())
  } catch (error) {
    obstacles.push({ check: 'outbox', message: errorMessage(error) })
  }
  const lack = lackOfSpace()
  if (lack !== null) obstacles.push({ check: 'disk', message: lack })
  return obstacles
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
