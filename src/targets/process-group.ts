import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EarlyEnd, earlyEnd, within } from './early-end.ts'
import { type Group, groupRuns, isProcess, namesInGroup } from './group-processes.ts'
import { ProgramStreamSource, type ProgramStreams } from './program-streams.ts'
import { TailBuffer } from './tail-buffer.ts'

/** Bytes kept of the end of stdout, and of stderr. */
const TAIL_BYTES = 4 * 1024
/** How long processes that a program leaves behind may stay in its group: `setsid` takes a fork, an exec and a turn on a busy CPU. */
const LEAVE_GRACE_MS = 3_000
/** From SIGTERM to SIGKILL. */
const TERM_GRACE_MS = 2_000
/** How long pipes may stay open once the process itself is gone, and how long a killed process may take to be gone. */
const DRAIN_MS = 1_000
/** By how much a run may exceed its timeout, at the very most. */
export const LONGEST_END_MS = LEAVE_GRACE_MS + TERM_GRACE_MS + DRAIN_MS
/** How often a group that is to end is checked. */
const GROUP_CHECK_MS = 20
/** Names of ended processes that are kept; a program may have left any number. */
const MOST_NAMES = 10
/** Between two looks at all processes, how many times what one takes. */
const LOOK_SHARE = 10

/** A program, its surroundings and its input. */
export interface ProcessOptions {
  readonly command: readonly [string, ...string[]]
  readonly directory: string
  readonly env: Record<string, string>
  readonly input: Uint8Array
  readonly timeoutMs: number
  /** Who it is to be. All other groups of ours are taken from it: libuv empties them before it changes the user. */
  readonly runAs?: { readonly uid: number; readonly gid: number } | null
}

/** How a process ended: by itself (with a code or by a signal), or because we ended it. */
export interface ProcessEnding {
  readonly early: EarlyEnd | null
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** The names of processes that the program left in its group and that were ended, each once; null where none was ended. */
  readonly ended: readonly string[] | null
  /** Whether a process outside of the group still held stdout or stderr when these were closed. */
  readonly isOutputHeld: boolean
}

/**
 * Runs a program in a process group of its own and leaves nothing of that group behind, however it ends. What should
 * outlive the program has to leave the group (`setsid`), for which it has a grace after the program's exit. Rejects where
 * the program cannot be started; ends within the timeout and `LONGEST_END_MS`.
 */
export async function runProcessGroup(
  options: ProcessOptions,
  abort: AbortSignal,
  /** Called with the number of the group as soon as there is one. */
  onStart: (group: number) => void = () => {},
): Promise<ProcessEnding> {
  const { child, streams } = await start(options, onStart)
  const group = child.pid!
  const stdout = tailOf(streams.stdout)
  const stderr = tailOf(streams.stderr)
  const exited = once(child, 'exit')
  let isClosed = false
  const closed = Promise.all([streams.stdout, streams.stderr].map(closeOf)).then(() => {
    isClosed = true
  })

  const early = await earlyEnd(exited, options.timeoutMs, abort)
  let ended: readonly string[] | null = null
  let isOutputHeld = false
  if (early === null) {
    const drained = within(DRAIN_MS, closed)
    ended = await endLeftovers(group, abort)
    await (ended === null ? drained : within(DRAIN_MS, closed))
    isOutputHeld = !isClosed
  } else {
    await endGroup(group)
    await within(DRAIN_MS, exited)
  }
  // A child that has left the group may still hold these; our ends of them must not stay open for it.
  for (const pipe of [streams.stdout, streams.stderr]) pipe.destroy()
  const { exitCode: code, signalCode: signal } = child
  return { early, code, signal, stdout: stdout.text(), stderr: stderr.text(), ended, isOutputHeld }
}

const STREAMS = new ProgramStreamSource()

/** Some failures to start are thrown (E2BIG), others come as an event (ENOENT). Both reject. */
async function start(
  { command, directory, env, runAs, input }: ProcessOptions,
  onStart: (group: number) => void,
): Promise<{ child: ChildProcess; streams: ReturnType<ProgramStreams['started']> }> {
  const [file, ...args] = command
  const account = runAs ? { uid: runAs.uid, gid: runAs.gid } : {}
  const streams = await STREAMS.make(input)
  try {
    const child = spawn(file, args, { cwd: directory, env, detached: true, stdio: streams.stdio, ...account })
    if (child.pid !== undefined) onStart(child.pid)
    await once(child, 'spawn')
    return { child, streams: streams.started(child) }
  } catch (error) {
    streams.discard()
    throw error
  }
}

/** Resolves when a stream is closed, also after an error. */
function closeOf(stream: NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolve) => stream.once('close', () => resolve()))
}

function tailOf(stream: NodeJS.ReadableStream): TailBuffer {
  const tail = new TailBuffer(TAIL_BYTES)
  stream.on('data', (chunk: Buffer) => tail.push(chunk))
  stream.on('error', () => {})
  return tail
}

/**
 * Ends what a program that has exited left in its group, and gives the names of those processes; null where all of them
 * left the group or ended within the grace. An abort shortens the grace.
 */
async function endLeftovers(group: number, abort: AbortSignal): Promise<readonly string[] | null> {
  const exitedAt = performance.now()
  const graceMs = () => (abort.aborted ? DRAIN_MS : LEAVE_GRACE_MS)
  let left = leftIn(group)
  for (let lookedAt = exitedAt; left !== null && lookedAt < exitedAt + graceMs(); ) {
    await sleep(Math.max(GROUP_CHECK_MS, LOOK_SHARE * (performance.now() - lookedAt)))
    lookedAt = performance.now()
    left = leftIn(group)
  }
  if (left !== null) await endGroup(group, () => leftIn(group) !== null)
  return left
}

/**
 * The names of the processes that run in the group of a program that has exited, as far as they can be seen; null where none
 * runs. A number is not given to another process while it is that of a group, so one that belongs to a process again is
 * no longer this group's.
 */
function leftIn(group: number): readonly string[] | null {
  if (!signalGroup(group, 0) || isProcess(group)) return null
  const names = namesInGroup(group)
  // Without any process to be seen they are another user's; zombies that nothing waits for are seen, and do not run.
  if (names === undefined) return []
  return names.length === 0 ? null : [...new Set(names)].slice(0, MOST_NAMES)
}

/** SIGTERM to the whole group, SIGKILL to what is left of it when the grace is over. */
async function endGroup(group: number, runs = () => signalGroup(group, 0)): Promise<void> {
  const killAt = performance.now() + TERM_GRACE_MS
  signalGroup(group, 'SIGTERM')
  // Nothing tells when the last process of a group is gone, so it is looked for; the program may end before its children.
  while (runs() && performance.now() < killAt) await sleep(GROUP_CHECK_MS)
  if (runs()) signalGroup(group, 'SIGKILL')
}

/**
 * Ends a group that this process has not started: SIGTERM, SIGKILL after the grace, and resolves when none of it runs. So late,
 * for whoever waits for its end may start the same program again.
 */
export async function endForeignGroup(group: Group): Promise<void> {
  // A group that has ended, but is not reaped, can still be signalled.
  const runs = () => signalGroup(group.id, 0) && (groupRuns(group) ?? true)
  if (!runs()) return
  const killAt = performance.now() + TERM_GRACE_MS
  signalGroup(group.id, 'SIGTERM')
  for (let lookedAt = performance.now(); runs(); lookedAt = performance.now()) {
    if (performance.now() >= killAt) signalGroup(group.id, 'SIGKILL')
    // A look at all processes is made on the relay's event loop.
    await sleep(Math.max(GROUP_CHECK_MS, LOOK_SHARE * (performance.now() - lookedAt)))
  }
}

/** Signals a process group. False where no process is left in it; its number is not given to others before. */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
