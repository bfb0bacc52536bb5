import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { errorMessage } from '../domain/errors.ts'
import { HeldDirectory } from '../safe-file.ts'
import { holdIfThere, recordingNames } from './kept-recordings.ts'
import { TooLarge } from './too-large.ts'

/** From the end of an attempt to the look whether its recording is still needed. */
const SWEEP_AFTER_MS = 1_000
/** For those that are still needed, or could not be removed. */
const SWEEP_AGAIN_MS = 60_000

export interface RecordingFilesOptions {
  /** Made when the first recording comes; nobody else's files may be in it. */
  readonly directory: string
  /** The ids of the events whose recording is still needed. */
  readonly needed: () => Promise<readonly string[]>
  readonly notRemoved: (error: string) => void
}

/**
 * The recordings of events whose deliveries are under way, each in a file of its own that is gone soon after the last of
 * them is finished. An attempt gets a link of its own, so that its program may move or remove the file.
 */
export class RecordingFiles {
  readonly #options: RecordingFilesOptions
  /** Names of files that are being written or lent. */
  readonly #inUse = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: RecordingFilesOptions) {
    this.#options = options
  }

  /** Writes an event's recording, and then has `keep` say on record that there is one. Throws `TooLarge`. */
  async receive(
    eventId: string,
    chunks: AsyncIterable<Uint8Array>,
    maxBytes: number,
    keep: () => Promise<void>,
  ): Promise<void> {
    const part = ownName(eventId, 'part')
    await this.#using([part, eventId], async () => {
      await makeDirectory(this.#options.directory)
      const held = HeldDirectory.open(this.#options.directory)
      try {
        // Flushed: after a power cut a file may not be there, but not be there and empty.
        const file = createWriteStream(held.path(part), { flags: 'wx', mode: 0o400, flush: true })
        try {
          await pipeline(upTo(maxBytes, chunks), file)
          await rename(held.path(part), held.path(eventId))
          await keep()
        } finally {
          // It is opened beside all this: where there was nothing to write, it may be made only now.
          if (!file.closed) await new Promise<void>((resolve) => file.once('close', () => resolve()))
          await rm(held.path(part), { force: true })
        }
      } finally {
        held.close()
      }
    })
  }

  /** A file for one attempt; null where the recording is not there. `giveBack` is to be called in the end. */
  async lend(eventId: string, contentType: string) {
    const name = ownName(eventId, extensionFor(contentType))
    const [from, path] = [this.#path(eventId), this.#path(name)]
    this.#inUse.add(name)
    try {
      const { size: bytes } = await stat(from)
      // A copy where the file system has no links.
      await link(from, path).catch(() => copyFile(from, path))
      return { path, bytes, giveBack: () => this.#giveBack(name) }
    } catch (error) {
      this.#inUse.delete(name)
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /** Removes what nobody needs: what a crash has left, and what was needed only by deliveries that are finished. */
  async sweep(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    let held: HeldDirectory | null = null
    try {
      held = holdIfThere(this.#options.directory)
      if (held === null) return
      const directory = held
      // What is written or lent from here on is not among these names.
      const names = recordingNames(directory).filter((name) => !this.#inUse.has(name))
      if (names.length === 0) return
      const needed = new Set(await this.#options.needed())
      const idle = names.filter((name) => !needed.has(name) && !this.#inUse.has(name))
      await Promise.all(idle.map((name) => rm(directory.path(name), { force: true })))
      if (idle.length < names.length) this.#sweepIn(SWEEP_AGAIN_MS)
    } catch (error) {
      this.#options.notRemoved(errorMessage(error))
      this.#sweepIn(SWEEP_AGAIN_MS)
    } finally {
      held?.close()
    }
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  async #giveBack(name: string): Promise<void> {
    await rm(this.#path(name), { force: true }).catch((error) => this.#options.notRemoved(errorMessage(error)))
    this.#inUse.delete(name)
    this.#sweepIn(SWEEP_AFTER_MS)
  }

  #sweepIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.sweep(), ms).unref()
  }

  async #using<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    for (const name of names) this.#inUse.add(name)
    try {
      return await work()
    } finally {
      for (const name of names) this.#inUse.delete(name)
    }
  }

  #path(name: string): string {
    return join(this.#options.directory, name)
  }
}

/** A name that none of a run that crashed has either. */
function ownName(eventId: string, extension: string): string {
  return `${eventId}-${randomUUID()}.${extension}`
}

async function* upTo(maxBytes: number, chunks: AsyncIterable<Uint8Array>) {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new TooLarge('ultravox.enrich.maxRecording', maxBytes)
    yield chunk
  }
}

/** `wav` for `audio/wav`: programs go by it. */
function extensionFor(contentType: string): string {
  return /^audio\/(?:x-)?([a-z0-9]{1,10})\b/i.exec(contentType)?.[1]?.toLowerCase() ?? 'bin'
}

/** Not the directories above: where they are gone, so is the outbox. */
async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
