import { type Style, styled } from './style.ts'

const STYLES: Readonly<Record<string, Style>> = { fatal: 'red', error: 'red', warn: 'yellow', info: 'green' }

/** What needs no quotes to be told from what follows. */
const PLAIN = /^[^\s"'={}[\]\p{C}]+$/u

/**
 * A line of the log for a person at a terminal: `10:07:15.123 WARN  request refused  status=401 reason=…`, in the machine's
 * own time. `json` is one that pino has written, its newline at the end. Values come from anywhere: control characters in
 * them stay escaped, as they are in JSON, so that none reaches the terminal.
 */
export function logLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>
  const told = Object.entries(fields).map(([name, value]) => `${styled('dim', `${name}=`)}${shown(value)}`)
  const name = String(level).toUpperCase().padEnd(5)
  const style = STYLES[String(level)]
  const head = `${styled('dim', clockTime(String(time)))} ${style === undefined ? name : styled(style, name)} ${msg}`
  return `${head}${told.length === 0 ? '' : `  ${told.join(' ')}`}\n${err === undefined ? '' : indented(err)}`
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
