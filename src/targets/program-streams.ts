import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, constants, fchmodSync, mkdtempSync, openSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Pipes that are made at a time, two for each program. */
const BATCH = 32

/** Where there is room for inputs. Memory first; a container often has only 64 MB there. */
const DIRECTORIES = ['/dev/shm', tmpdir()]

interface Pipe {
  /** Nonblocking. */
  readonly reading: number
  readonly writing: number
}

/** The standard streams of one program. */
export interface ProgramStreams {
  /** Descriptors for the program. */
  readonly stdio: readonly [stdin: number, stdout: number, stderr: number]
  readonly stdout: Socket
  readonly stderr: Socket
  /** Closes the descriptors that the program has its own copies of by now. */
  started(): void
}

/**
 * Makes standard streams that programs can also open by their paths. Node connects its children by sockets, and opening
 * `/dev/stdin`, `/dev/stdout` or `/dev/stderr` fails on these, or gives nothing. Here stdin is an unlinked temporary file, and stdout
 * and stderr are pipes. Node cannot make pipes, so they are FIFOs that `mkfifo` makes many at a time and that are
 * unlinked at once: nothing is left behind, however this process ends.
 */
export class ProgramStreamSource {
  #pipes: Pipe[] = []
  #refill: Promise<void> | undefined

  /** Rejects with the error of the operating system if there is no directory for them. */
  async make(input: Uint8Array): Promise<ProgramStreams> {
    const [out, err] = [await this.#pipe(), await this.#pipe()]
    let stdin: number
    try {
      stdin = inputFile(input)
    } catch (error) {
      this.#pipes.push(out, err)
      throw error
    }
    return {
      stdio: [stdin, out.writing, err.writing],
      stdout: readable(out),
      stderr: readable(err),
      started: () => {
        for (const fd of [stdin, out.writing, err.writing]) closeSync(fd)
      },
    }
  }

  async #pipe(): Promise<Pipe> {
    while (this.#pipes.length === 0) {
      this.#refill ??= this.#makePipes().finally(() => {
        this.#refill = undefined
      })
      await this.#refill
    }
    return this.#pipes.pop()!
  }

  async #makePipes(): Promise<void> {
    this.#pipes.push(
      ...(await firstThatWorks(async (parent) => {
        const directory = mkdtempSync(join(parent, 'relay-pipes-'))
        try {
          const paths = Array.from({ length: BATCH }, (_, index) => join(directory, String(index)))
          await run('mkfifo', ['-m', '600', ...paths])
          return paths.map(openPipe)
        } finally {
          rmSync(directory, { recursive: true, force: true })
        }
      })),
    )
  }
}

function openPipe(path: string): Pipe {
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writing = openSync(path, constants.O_WRONLY)
  // A program of another user can open what it has by path. Nobody else can: it has no name any more.
  fchmodSync(writing, 0o666)
  return { reading, writing }
}

function readable({ reading }: Pipe): Socket {
  return new Socket({ fd: reading, readable: true, writable: false })
}

/** Returns a descriptor for reading, at the beginning. */
function inputFile(input: Uint8Array): number {
  let problem: unknown
  for (const directory of DIRECTORIES) {
    try {
      const path = join(directory, `relay-input-${randomUUID()}`)
      const writing = openSync(path, 'wx', 0o600)
      try {
        const reading = openSync(path, 'r')
        unlinkSync(path)
        try {
          writeFileSync(writing, input)
          fchmodSync(writing, 0o444)
          return reading
        } catch (error) {
          closeSync(reading)
          throw error
        }
      } finally {
        closeSync(writing)
      }
    } catch (error) {
      problem = error
    }
  }
  throw problem
}

async function firstThatWorks<T>(attempt: (directory: string) => Promise<T>): Promise<T> {
  let problem: unknown
  for (const directory of DIRECTORIES) {
    try {
      return await attempt(directory)
    } catch (error) {
      problem = error
    }
  }
  throw problem
}
