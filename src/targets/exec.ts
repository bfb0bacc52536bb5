import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Conceal } from '../domain/concealer.ts'
import type { DeliveredEvent, Delivery } from '../domain/delivery.ts'
import { errorMessage } from '../domain/errors.ts'
import { type Outcome, withNote } from '../domain/outcome.ts'
import { printable } from '../domain/printable.ts'
import type { Secret } from '../domain/secret.ts'
import { identityValues } from './identity-values.ts'
import { type Launcher, LauncherEnded } from './launcher.ts'
import type { ProcessEnding } from './process-group.ts'
import type { Target } from './target.ts'

export interface ExecTargetOptions {
  readonly name: string
  /** The program and its arguments; no shell reads them. */
  readonly command: readonly [string, ...string[]]
  /** Where it runs, and what its path is relative to. */
  readonly directory: string
  readonly timeoutMs: number
  readonly env: Readonly<Record<string, Secret>>
  /** Names of the relay's own environment variables that are handed on. */
  readonly passEnv: readonly string[]
  /** Whom it runs as, which takes a relay that is root. Absent or null: whoever the relay runs as. */
  readonly runAs?: RunAs | null
  /** Takes its secrets out of what it prints: of each stream for itself, for each is cut by itself. Absent: nothing is. */
  readonly conceal?: Conceal
}

/** A user's number, its group's and where it lives, if that is known. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
  readonly home: string | null
}

/** The exit code for "this will never work" (`EX_DATAERR` in sysexits.h). */
const REFUSED_EXIT_CODE = 65

/** What a program needs to run at all. Nothing else of the relay's environment reaches it: that holds secrets. */
const PASSED_ALWAYS = ['PATH', 'HOME', 'LANG', 'TZ']

/** Longest part of the last line of stderr that goes into an error, in characters. */
const ERROR_LINE_LIMIT = 200

/**
 * Runs a program for every event, with the body on its stdin.
 */
export function createExecTarget(options: ExecTargetOptions, launcher: Launcher): Target {
  const { command, directory, timeoutMs, runAs = null, conceal = (text) => text } = options
  const env = configuredEnv(options)
  launcher.prepare()

  return {
    name: options.name,
    async send(delivery, signal, onSent) {
      if (signal.aborted) return { kind: 'interrupted' }
      try {
        const surroundings = { env: { ...env, ...identityEnv(delivery) }, input: delivery.event.body }
        const ending = await launcher.run({ command, directory, timeoutMs, runAs, ...surroundings }, signal, onSent)
        const [stdout, stderr] = [conceal(ending.stdout), conceal(ending.stderr)]
        return withNote(outcomeOf({ ...ending, stdout, stderr }, timeoutMs), noteOf(ending))
      } catch (error) {
        if (error instanceof LauncherEnded) return { kind: 'failed', error: errorMessage(error) }
        return { kind: 'failed', error: `cannot start: ${errorMessage(error)} ${command[0]}${hint(error, options)}` }
      }
    },
    async close() {},
  }
}

/** For a program that is there: the kernel says of its interpreter, too, that there is no such file. */
function hint(error: unknown, { command, directory }: ExecTargetOptions): string {
  if (errorMessage(error) === 'EACCES')
    return ' (chmod +x it, and let the user of the relay enter its directories; see ultravox-relay check)'
  if (errorMessage(error) !== 'ENOENT') return ''
  if (!existsSync(directory)) return ` (its working directory ${directory} is gone)`
  if (!command[0].includes('/') || !existsSync(resolve(directory, command[0]))) return ''
  return ' (the file is there: its first line asks for an interpreter that is not, or has Windows line ends; see ultravox-relay check)'
}

function configuredEnv({ env, passEnv, runAs }: ExecTargetOptions): Record<string, string> {
  const inherited = [...PASSED_ALWAYS, ...passEnv].flatMap((name): [string, string][] => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  })
  // Another user can do nothing with the relay's own HOME.
  const own = runAs ? inherited.filter(([name]) => name !== 'HOME') : inherited
  const passed: [string, string][] = runAs?.home ? [...own, ['HOME', runAs.home]] : own
  const set = Object.entries(env).map(([name, value]): [string, string] => [name, value.reveal()])
  return Object.fromEntries([...passed, ...set])
}

function identityEnv(delivery: Delivery): Record<string, string> {
  const identity = identityValues(delivery)
  return {
    RELAY_EVENT_ID: identity.eventId,
    RELAY_EVENT: identity.event,
    RELAY_CALL_ID: identity.callId,
    RELAY_SOURCE: identity.source,
    RELAY_TARGET: identity.target,
    RELAY_ATTEMPT: identity.attempt,
    RELAY_RECEIVED_AT: new Date(delivery.event.receivedAt).toISOString(),
    ...(delivery.recording !== undefined && { RELAY_RECORDING_FILE: delivery.recording.path }),
    ...(delivery.event.via != null && { RELAY_VIA: delivery.event.via }),
    ...traceEnv(delivery.event),
  }
}

/** The names under which OpenTelemetry looks for them in an environment. */
function traceEnv({ traceparent, tracestate }: DeliveredEvent): Record<string, string> {
  if (traceparent == null) return {}
  return { TRACEPARENT: traceparent, ...(tracestate != null && { TRACESTATE: tracestate }) }
}

function outcomeOf(ending: ProcessEnding, timeoutMs: number): Outcome {
  const { early, code, signal } = ending
  const response = responseOf(ending)
  const answer = response === undefined ? {} : { response }
  if (early === 'interrupted') return { kind: 'interrupted' }
  if (early === 'timeout')
    return { kind: 'failed', error: `timeout: killed after ${timeoutMs / 1000}s`, timedOut: true, ...answer }
  if (code === null) return { kind: 'failed', error: `killed by ${signal}`, ...answer }
  if (code === 0) return { kind: 'delivered', status: code, ...answer }
  const error = `exit ${code}${lastLineOf(ending.stderr)}`
  return { kind: code === REFUSED_EXIT_CODE ? 'refused' : 'failed', error, status: code, ...answer }
}

/** Names of ended processes that a note lists. */
const LISTED_NAMES = 5

/** What a program left behind and what became of that; empty where there is nothing to note. */
function noteOf({ ended, isOutputHeld }: ProcessEnding): string {
  return [
    ...(ended === null ? [] : [`killed processes left in its group${listed(ended)}; ${DETACH_ADVICE}`]),
    ...(isOutputHeld ? [`closed its output, still held by a process outside its group; ${REDIRECT_ADVICE}`] : []),
  ].join('; ')
}

const DETACH_ADVICE = 'detach with setsid or systemd-run what should keep running'
const REDIRECT_ADVICE = 'redirect the output of what is detached (>/dev/null 2>&1)'

function listed(names: readonly string[]): string {
  const shown = names.map((name) => printable(name).replace(/\s+/g, ' '))
  const more = shown.length > LISTED_NAMES ? ', …' : ''
  return shown.length === 0 ? '' : ` (${shown.slice(0, LISTED_NAMES).join(', ')}${more})`
}

/** What was printed; told apart only where there is something of both. */
function responseOf({ stdout, stderr }: ProcessEnding): string | undefined {
  if (stdout !== '' && stderr !== '') return `stdout:\n${stdout}${stdout.endsWith('\n') ? '' : '\n'}stderr:\n${stderr}`
  return stdout || stderr || undefined
}

/** `: …` with the last line that says anything, or nothing. */
function lastLineOf(stderr: string): string {
  const line = stderr
    .trimEnd()
    .split(/[\r\n]+/)
    .at(-1)!
  const visible = line.replace(/\p{Cc}+/gu, ' ').trim()
  return visible === '' ? '' : `: ${[...visible].slice(0, ERROR_LINE_LIMIT).join('')}`
}
