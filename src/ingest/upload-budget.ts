const KB = 1024
const MB = 1024 * KB

/** A body up to this size is never in the way of others, nor they in its: most events have a few KB. */
export const SMALL_BODY_BYTES = 64 * KB

/** The time over which the speed of an upload is averaged. */
const SPEED_MS = 1_000
/** The speed of an upload that has just begun is not known; it counts as that of one of this age. */
const LEAST_AGE_MS = 10

/** The most bytes that a group of uploads may hold, and of them the most of one network. */
interface Bounds {
  readonly total: number
  readonly share: number
}

/**
 * Bounds the memory that unfinished uploads hold. Whether a body is genuine is known only once it is complete, and until
 * then any client can have any number of them kept in memory. So each upload is charged what it has buffered, not what it has
 * announced. Where a network holds more than its share, its slowest upload is evicted; where all together hold more than the
 * total, the slowest upload of the networks that hold the most. A new upload is never turned away.
 *
 * Small bodies, large ones, and large ones of trusted peers are bounded apart, so that none can crowd out the others.
 */
export class UploadBudget {
  readonly #small = new Pool({ total: 64 * MB, share: 16 * MB })
  readonly #large = new Pool({ total: 0, share: 0 })
  readonly #trusted = new Pool({ total: 0, share: 0 })
  readonly #now: () => number

  /** `now`: a steady clock in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now
    this.fit(0)
  }

  /** Adapts the bounds to the largest body that is accepted: one client can always send at least one of them. */
  fit(bodyLimitBytes: number): void {
    // What is buffered may be larger than what was received, see `readBody`.
    const largest = bodyLimitBytes + SMALL_BODY_BYTES
    this.#large.bounds = { total: Math.max(128 * MB, 2 * largest), share: Math.max(32 * MB, largest) }
    this.#trusted.bounds = { total: Math.max(192 * MB, 3 * largest), share: Math.max(96 * MB, 2 * largest) }
  }

  /** Begins an upload of a network. `evict` is called when it has to make room; its charge is gone by then. */
  begin(network: string, trusted: boolean, evict: () => void): Upload {
    const large = trusted ? this.#trusted : this.#large
    return new Upload(network, this.#small, large, evict, this.#now)
  }
}

/** The charge of one request body that is being received. */
export class Upload {
  readonly network: string
  readonly #large: Pool
  readonly #now: () => number
  readonly #startedAt: number
  #pool: Pool | null
  #recent = 0
  #recentAt: number
  readonly evict: () => void
  bytes = 0

  constructor(network: string, small: Pool, large: Pool, evict: () => void, now: () => number) {
    this.network = network
    this.#pool = small
    this.#large = large
    this.evict = evict
    this.#now = now
    this.#startedAt = now()
    this.#recentAt = this.#startedAt
  }

  /** Charges what was received and what it takes to keep it, in bytes. May evict uploads, this one included. */
  charge(received: number, buffered: number): void {
    if (this.#pool === null) return
    const now = this.#now()
    this.#recent = this.#recentAtTime(now) + received
    this.#recentAt = now
    this.#pool.remove(this)
    this.bytes += buffered
    if (this.bytes > SMALL_BODY_BYTES) this.#pool = this.#large
    this.#pool.add(this)
  }

  /** Ends the charge: the body is complete, or will never be. */
  end(): void {
    this.#pool?.remove(this)
    this.#pool = null
  }

  /** Bytes a ms received lately; what came in longer ago counts less and less. */
  get speed(): number {
    const now = this.#now()
    const age = Math.max(LEAST_AGE_MS, now - this.#startedAt)
    return this.#recentAtTime(now) / (SPEED_MS * (1 - Math.exp(-age / SPEED_MS)))
  }

  #recentAtTime(now: number): number {
    return this.#recent * Math.exp(-(now - this.#recentAt) / SPEED_MS)
  }
}

interface Group {
  bytes: number
  readonly uploads: Set<Upload>
}

class Pool {
  bounds: Bounds
  readonly #groups = new Map<string, Group>()
  #bytes = 0

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  add(upload: Upload): void {
    const group = this.#groups.get(upload.network) ?? { bytes: 0, uploads: new Set() }
    this.#groups.set(upload.network, group)
    group.uploads.add(upload)
    group.bytes += upload.bytes
    this.#bytes += upload.bytes
    while (group.bytes > this.bounds.share) evictSlowest(group.uploads)
    while (this.#bytes > this.bounds.total) evictSlowest(this.#heaviest())
  }

  remove(upload: Upload): void {
    const group = this.#groups.get(upload.network)
    if (group === undefined || !group.uploads.delete(upload)) return
    if (group.uploads.size === 0) this.#groups.delete(upload.network)
    group.bytes -= upload.bytes
    this.#bytes -= upload.bytes
  }

  /**
   * The uploads of the networks that hold at least three quarters of what the one with the most holds. Not of that one alone: where
   * many hold about the same, it would be the one that is still receiving.
   */
  #heaviest(): Upload[] {
    const groups = [...this.#groups.values()]
    const most = groups.reduce((bytes, group) => Math.max(bytes, group.bytes), 0)
    return groups.filter(({ bytes }) => bytes >= 0.75 * most).flatMap(({ uploads }) => [...uploads])
  }
}

function evictSlowest(uploads: Iterable<Upload>): void {
  let slowest: { upload: Upload; speed: number } | undefined
  for (const upload of uploads) {
    const { speed } = upload
    if (slowest === undefined || speed < slowest.speed) slowest = { upload, speed }
  }
  slowest!.upload.end()
  slowest!.upload.evict()
}
