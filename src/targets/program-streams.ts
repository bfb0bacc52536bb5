import { type ChildProcess, execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Pipes that are made at a time, two for each program. */
const BATCH = 32

/** How long `mkfifo` may take. */
const MKFIFO_MS = 5_000

/** Where there is room for inputs. Memory first; a container often has only 64 MB there. */
const DIRECTORIES = ['/dev/shm', tmpdir()]
const PIPES_PREFIX = 'relay-pipes-'
const INPUT_PREFIX = 'relay-input-'
/** Names are there for milliseconds; older ones are those of a killed process. */
const LEFT_BEHIND_MS = 60_000

interface Pipe {
  /** Nonblocking. */
  readonly reading: number
  readonly writing: number
}

/** The standard streams of one program. */
export interface ProgramStreams {
  /** For `spawn`. */
  readonly stdio: [stdin: number, stdout: number | 'pipe', stderr: number | 'pipe']
  /** Closes the descriptors that the program has its own copies of by now. Returns what it prints. */
  started(child: ChildProcess): { readonly stdout: Readable; readonly stderr: Readable }
  /** Closes everything: the program could not be started. */
  discard(): void
}

/**
 * Makes standard streams that programs can also open by their paths. Node connects its children by sockets, and opening
 * `/dev/stdin`, `/dev/stdout` or `/dev/stderr` fails on these, or gives nothing. Here stdin is an unlinked temporary file, and stdout
 * and stderr are pipes. Node cannot make pipes, so they are FIFOs that `mkfifo` makes many at a time and that are
 * unlinked at once. Where `mkfifo` is missing, stdout and stderr are sockets all the same.
 */
export class ProgramStreamSource {
  #pipes: Pipe[] = []
  #refill: Promise<void> | undefined
  #hasMkfifo = true

  /** Rejects with an error without a code if there is no room for the input. */
  async make(input: Uint8Array): Promise<ProgramStreams> {
    const stdin = inputFile(input)
    const pipes = await this.#pair()
    if (pipes === undefined) {
      return {
        stdio: [stdin, 'pipe', 'pipe'],
        started({ stdout, stderr }) {
          closeSync(stdin)
          return { stdout: stdout!, stderr: stderr! }
        },
        discard: () => closeSync(stdin),
      }
    }
    const [out, err] = pipes
    const closeOurs = () => {
      for (const fd of [stdin, out.writing, err.writing]) closeSync(fd)
    }
    return {
      stdio: [stdin, out.writing, err.writing],
      started() {
        closeOurs()
        return { stdout: readable(out), stderr: readable(err) }
      },
      discard() {
        closeOurs()
        for (const { reading } of pipes) closeSync(reading)
      },
    }
  }

  /** Undefined where none can be made. */
  async #pair(): Promise<readonly [Pipe, Pipe] | undefined> {
    try {
      return this.#hasMkfifo ? [await this.#pipe(), await this.#pipe()] : undefined
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' && syscall?.startsWith('spawn')) this.#hasMkfifo = false
      return undefined
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
        const directory = mkdtempSync(join(parent, PIPES_PREFIX))
        try {
          const paths = Array.from({ length: BATCH }, (_, index) => join(directory, String(index)))
          await run('mkfifo', ['-m', '600', ...paths], { timeout: MKFIFO_MS, killSignal: 'SIGKILL' })
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
      const path = join(directory, `${INPUT_PREFIX}${randomUUID()}`)
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
  const { code } = problem as NodeJS.ErrnoException
  throw new Error(`${code}: no room for its input in ${DIRECTORIES.join(' or ')}, for`)
}

/** Removes what a process of this user left behind that was killed between making a name and unlinking it. */
export function removeLeftStreams(now: number): void {
  for (const directory of DIRECTORIES) {
    for (const name of namesIn(directory)) {
      if (!name.startsWith(PIPES_PREFIX) && !name.startsWith(INPUT_PREFIX)) continue
      const path = join(directory, name)
      try {
        const { uid, mtimeMs } = lstatSync(path)
        // Nobody else can make or replace something that is this user's in these directories.
        if (uid === process.geteuid?.() && now - mtimeMs > LEFT_BEHIND_MS)
          rmSync(path, { recursive: true, force: true })
      } catch {
        // It is gone already, or stays.
      }
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
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
