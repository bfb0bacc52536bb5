import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs'
import { basename, delimiter, resolve } from 'node:path'
import { accessing } from '../safe-file.ts'

/** What Linux reads of a program to find its interpreter. */
const READ_BYTES = 256

/** What keeps a program from being started though it is there and executable; follows its name. */
export interface StartProblem {
  readonly message: string
  readonly level?: 'warning'
}

/**
 * Judges the first line of a program. `directory`: where it will run. `searchPath`: its PATH, for interpreters that `env`
 * looks for. Undefined where it will start, or nothing can be said: a binary, or a program that may not be read.
 */
export function startProblem(
  path: string,
  directory: string,
  searchPath: string | undefined,
): StartProblem | undefined {
  const head = accessing(path, () => headOf(path))
  if (head === undefined) return undefined
  if (/^(?:\ufeff|\u00ef\u00bb\u00bf)/.test(head)) {
    return { message: 'begins with a byte order mark, so that its #! is not seen: save it as UTF-8 without one' }
  }
  if (!head.startsWith('#!')) return head.includes('\0') ? undefined : WITHOUT_INTERPRETER
  const end = head.indexOf('\n')
  if (end === -1 && head.length >= READ_BYTES) {
    return { message: `has a first line of more than ${READ_BYTES} bytes, which is cut off: shorten it` }
  }
  const line = end === -1 ? head.slice(2) : head.slice(2, end)
  if (line.includes('\r')) {
    const message =
      'has Windows line ends: its first line asks for an interpreter whose name ends with a carriage return'
    return { message: `${message}. Convert it with: sed -i 's/\\r$//' FILE` }
  }
  const message = interpreterProblem(line.trim(), directory, searchPath)
  return message === undefined ? undefined : { message }
}

/** libuv starts it by `execvp`, which has a shell run what the kernel does not know, where the C library is glibc. */
const WITHOUT_INTERPRETER: StartProblem = {
  message: 'does not say by which program it is to be run: write #!/bin/sh, or another, into its first line',
  level: 'warning',
}

function interpreterProblem(line: string, directory: string, searchPath: string | undefined): string | undefined {
  const [interpreter = '', argument = ''] = line.split(/[ \t]+(.*)/s)
  if (interpreter === '') return 'names no interpreter in its first line: write one, as in #!/bin/sh'
  const file = resolve(directory, interpreter)
  if (!accessing(file, () => isExecutable(file))) {
    return `asks for the interpreter ${interpreter} in its first line, which is not there or not executable: install it, or change that line`
  }
  return basename(interpreter) === 'env' ? problemOfEnv(argument, directory, searchPath) : undefined
}

/** What `env` is asked for. Linux hands it all that follows as one argument, which only `-S` takes apart. */
function problemOfEnv(argument: string, directory: string, searchPath: string | undefined): string | undefined {
  const [, split] = /^(?:-S|--split-string=?)[ \t]*(.*)$/s.exec(argument) ?? []
  if (split === undefined && /[ \t]/.test(argument)) {
    return `asks env for a program named "${argument}" in its first line: write #!/usr/bin/env -S ${argument}`
  }
  const words = (split ?? argument).split(/[ \t]+/).filter((word) => !/^\w+=/.test(word))
  const program = words[0] ?? ''
  if (program === '') return 'asks env for no program in its first line: name one, as in #!/usr/bin/env python3'
  // Options change what env does, and quotes what a word is.
  if (/^-|["'\\$]/.test(program)) return undefined
  const places = program.includes('/')
    ? [resolve(directory, program)]
    : (searchPath ?? '').split(delimiter).map((place) => resolve(directory, place, program))
  if (places.some((place) => accessing(place, () => isExecutable(place)))) return undefined
  return `asks env for ${program} in its first line, which is not in PATH: install it, or change that line`
}

/** As Latin-1, so that every byte is a character; undefined where it cannot be read. */
function headOf(path: string): string | undefined {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const head = Buffer.alloc(READ_BYTES)
      return head.toString('latin1', 0, readSync(file, head))
    } finally {
      closeSync(file)
    }
  } catch {
    return undefined
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
