import { printable, printableJson } from '../domain/printable.ts'
import { fileProblem } from '../safe-file.ts'
import { screenful } from './screen.ts'
import { betweenStyles, isColoured } from './style.ts'

/*
 * Everything that a command prints goes through this file (test/architecture.test.ts), so that no text from a provider, a
 * payload, a file or an argument reaches the terminal as anything but text.
 */

/** Where progress and prompts go. */
export const ERRORS: NodeJS.WriteStream = process.stderr

const CLEAR_LINE = '\r\u001b[K'

/** Prints text on stdout; styles of `styled` in it stay. */
export function writeOut(text: string): void {
  process.stdout.write(styledText(text))
}

/** Prints text on stderr. Styles in it do not stay. */
export function writeError(text: string): void {
  process.stderr.write(printable(text))
}

/** Prints JSON on stdout: `indent` spaces a level, 0 for a line of its own. */
export function writeJson(document: unknown, indent: number): void {
  process.stdout.write(`${printableJson(JSON.stringify(document, null, indent))}\n`)
}

/**
 * Prints a part of a document `{"NAME": […], …}` on stdout, indented as by `writeJson`: the items that follow those before.
 * `isFirst`: nothing of the document has been printed.
 */
export function writeJsonItems(name: string, items: readonly object[], isFirst: boolean): void {
  const start = isFirst ? `{\n  ${JSON.stringify(name)}: [` : ''
  const texts = items.map((item, index) => {
    const separator = isFirst && index === 0 ? '' : ','
    return `${separator}\n    ${JSON.stringify(item, null, 2).replaceAll('\n', '\n    ')}`
  })
  process.stdout.write(printableJson(`${start}${texts.join('')}`))
}

/** Prints the end of such a document and its other keys. */
export function writeJsonItemsEnd(rest: object, isEmpty: boolean): void {
  const others = JSON.stringify(rest, null, 2).slice(1)
  process.stdout.write(`${isEmpty ? '' : '\n  '}],${others}\n`)
}

/** Prints bytes as they are; at a terminal, as text. */
export function writeBytes(bytes: Uint8Array): void {
  process.stdout.write(isTerminal() ? printable(Buffer.from(bytes).toString('utf8')) : bytes)
}

/** Prints text in the place of the one before, at a terminal; else after it. */
export function writeScreen(text: string): void {
  const { isTTY, rows } = process.stdout
  process.stdout.write(isTTY ? screenful(styledText(text), rows || Infinity) : `${printable(text)}\n`)
}

/** Prints a line in the place of the one before; nothing where that is no terminal. */
export function overwriteLine(text: string, output = ERRORS): void {
  if (output.isTTY) output.write(`${CLEAR_LINE}${printable(text)}`)
}

/** Whether stdout is a terminal. */
export function isTerminal(): boolean {
  return process.stdout.isTTY === true
}

/** Columns of the terminal that stdout is; undefined where it is none, or does not know. */
export function terminalWidth(): number | undefined {
  return (isTerminal() && process.stdout.columns) || undefined
}

/**
 * Ends the command without an error when the reader of stdout closes it (`… | head`), and with one sentence when stdout
 * cannot be written for another reason. That stderr is closed ends nothing.
 */
export function endWithReader(): void {
  // One process may run several commands.
  process.stderr.off('error', ignore).on('error', ignore)
  process.stdout.off('error', endAtUnwritable).on('error', endAtUnwritable)
}

function ignore(): void {}

/** The exit status of a command that could not print what it had to say. */
const UNWRITABLE_STATUS = 5

let isDone = false

/** What is printed from now on reports what the command has done. */
export function beginReport(): void {
  isDone = true
}

function endAtUnwritable(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit()
  const what = isDone ? 'done, but the report could not be written' : 'the output cannot be written'
  writeError(`ultravox-relay: ${what}: ${fileProblem(error.code)} (${error.code})\n`)
  process.exit(UNWRITABLE_STATUS)
}

/** Undoes `endWithReader` for stdout: a daemon goes on without anyone to read what it prints. */
export function goOnWithoutReader(): void {
  process.stdout.removeAllListeners('error').on('error', ignore)
}

/** Prints what nothing has caught as Node does, and ends as Node does. */
export function printUncaught(): void {
  if (process.listenerCount('uncaughtException') > 0) return
  process.on('uncaughtException', (error: unknown) => {
    writeError(`${(error as Error | undefined)?.stack ?? String(error)}\n`)
    process.exit(1)
  })
}

/** Text for stdout in which nothing but the styles of `styled` is acted on by a terminal. */
export function styledText(text: string): string {
  if (!isColoured(process.stdout)) return printable(text)
  return betweenStyles(text, printable)
}
