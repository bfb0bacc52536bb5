import { type Style, styled } from './style.ts'

const STYLES: Readonly<Record<string, Style>> = { fatal: 'red', error: 'red', warn: 'yellow', info: 'green' }

/** What needs no quotes to be told from what follows. */
const PLAIN = /^[^\s"'={}[\]\p{C}]+$/u

/**
 * A line of the log for a person at a terminal. Events and attempts, of which there are most, have a short form:
 *
 *     10:07:15 → call.ended 3c90c3cc-0d44-4b50-8888-8dd25736052a to crm, ops
 *     10:07:15 ← crm 200 in 28ms  call.ended 3c90c3cc-0d44-4b50-8888-8dd25736052a
 *
 * All others have their fields: `10:07:15.123 WARN  request refused  status=401 reason=…`, in the machine's
 * own time. `json` is one that pino has written, its newline at the end. Values come from anywhere: control characters in
 * them stay escaped, as they are in JSON, so that none reaches the terminal.
 */
export function logLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>
  const short =
    msg === 'request answered' ? eventLine(fields) : msg === 'delivery attempted' ? attemptLine(fields) : null
  if (short !== null) return `${styled('dim', clockTime(String(time)).slice(0, 8))} ${short}\n`
  const told = Object.entries(fields).map(([name, value]) => `${styled('dim', `${name}=`)}${shown(value)}`)
  const name = String(level).toUpperCase().padEnd(5)
  const style = STYLES[String(level)]
  const head = `${styled('dim', clockTime(String(time)))} ${style === undefined ? name : styled(style, name)} ${msg}`
  return `${head}${told.length === 0 ? '' : `  ${told.join(' ')}`}\n${err === undefined ? '' : indented(err)}`
}

type Fields = Readonly<Record<string, unknown>>

/** Null for a request that has brought no event. */
function eventLine({ event, eventId, callId, targets, duplicate, status }: Fields): string | null {
  if (typeof event !== 'string' || !Array.isArray(targets)) return null
  const to = targets.length === 0 ? styled('dim', 'to no target') : `to ${targets.map(shown).join(', ')}`
  const what = duplicate === true ? styled('dim', 'duplicate') : to
  const gone = status === 499 ? styled('yellow', '  the sender was gone before the answer') : ''
  return `${styled('bold', '→')} ${shown(event)} ${shown(callId ?? eventId)} ${what}${gone}`
}

function attemptLine({ target, outcome, status, error, ms, event, callId, eventId, ...more }: Fields): string {
  const { attempt, state, dueAt, note } = more
  const isDelivered = outcome === 'delivered'
  const result = isDelivered ? styled('green', shown(status ?? 'delivered')) : styled('red', words(error))
  const number = Number(attempt) > 1 ? ` (attempt ${shown(attempt)})` : ''
  const next = isDelivered ? '' : state === 'dead' ? `, ${styled('red', 'dead')}` : `, next ${nextTime(dueAt)}`
  const about = `${shown(event)} ${shown(callId ?? eventId)}`
  return `${styled('bold', '←')} ${shown(target)} ${result} in ${shown(ms)}ms${number}${next}  ${about}${note === undefined ? '' : `  ${words(note)}`}`
}

function words(value: unknown): string {
  return escaped(JSON.stringify(String(value)).slice(1, -1))
}

function nextTime(dueAt: unknown): string {
  return typeof dueAt === 'string' ? `at ${clockTime(dueAt).slice(0, 8)}` : 'soon'
}

function clockTime(iso: string): string {
  const at = new Date(iso)
  const two = (part: number) => String(part).padStart(2, '0')
  const milliseconds = String(at.getMilliseconds()).padStart(3, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`
}

function shown(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return value
  return escaped(JSON.stringify(value))
}

/** An error with its stack, which is what is wanted of one that nobody expected. */
function indented(error: unknown): string {
  const { stack, message } = error as { stack?: unknown; message?: unknown }
  const lines = String(stack ?? message ?? JSON.stringify(error)).split('\n')
  return lines.map((line) => `    ${escaped(line)}\n`).join('')
}

/** JSON leaves DEL, C1 and what turns the direction of text as they are. */
function escaped(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`)
}
