import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { accessing, fileProblem, permissionProblem, readSmallBytes, readSmallFile, utf8Text } from '../safe-file.ts'
import type { Config } from './config.ts'
import { examine, type Purpose } from './examine.ts'
import { type Finding, formatPath } from './finding.ts'
import { HOME_PROBLEM, isHomePath } from './home-path.ts'
import { kindOf } from './plain-words.ts'
import { offsetOf } from './position.ts'
import { byPosition, ConfigError, type Problem } from './problem.ts'
import { resolveConfig } from './resolve.ts'
import { shownContent } from './shown.ts'
import { parseYaml } from './yaml-document.ts'
import type { Fault } from './yaml-fault.ts'

export interface LoadedConfig {
  config: Config
  /** What the relay starts in spite of. */
  warnings: Problem[]
  /** Facts worth knowing that need no action. */
  notes: Problem[]
  /** References and files that cannot be had here and do not matter for the purpose. What they stand for is missing or a default. */
  missing: Problem[]
  /** The file as it is understood: references resolved, defaults filled in, secrets masked. */
  shown: () => object
}

/**
 * Reads and checks a configuration file. References are resolved from `env` and the disk; programs are looked for, where
 * it is for the daemon. `descriptorsOf`: the process that a path such as `/dev/stdin` means a descriptor of.
 * Throws `ConfigError` with everything that is wrong, in the order of the file.
 */
export function loadConfig(
  file: string,
  env: NodeJS.ProcessEnv,
  purpose: Purpose = 'daemon',
  descriptorsOf?: number,
): LoadedConfig {
  const yaml = parseYaml(readConfig(file, descriptorsOf))
  const told = (faults: readonly Fault[]): Problem[] => {
    const problems = faults.map(({ offset, path, message }) => {
      const { line, col } = yaml.lines.linePos(offset)
      return { file, line, column: col, path: formatPath(path), message }
    })
    return problems.sort(byPosition)
  }
  if (yaml.broken) throw new ConfigError(told(yaml.faults))
  if (kindOf(yaml.value) !== 'a mapping') {
    const content = yaml.value === null ? 'is empty' : `holds ${kindOf(yaml.value)} instead of sections like "targets:"`
    throw new ConfigError([wholeFile(file, `${content}: ${HOW_TO_START}`)])
  }

  const absolute = resolve(file)
  const { resolved, content, referenced, secretsFiles, errors, warnings, notes, missing } = examine(
    yaml.value,
    absolute,
    env,
    purpose,
  )
  const placed = (finding: Finding): Fault => ({ ...finding, offset: offsetOf(finding, yaml) })
  const problems = told([...yaml.faults, ...errors.map(placed)])
  if (problems.length > 0 || content === undefined) throw new ConfigError(problems)
  return {
    config: resolveConfig(content, absolute, env, secretsFiles, referenced),
    warnings: told(warnings.map(placed)),
    notes: told(notes.map(placed)),
    missing: told(missing.map(placed)),
    shown: () => shownContent(yaml.value, resolved),
  }
}

const LARGEST_BYTES = 16 * 1024 * 1024
const DESCRIPTOR = /^\/(?:dev\/(?:stdin|fd\/(\d+))|proc\/self\/fd\/(\d+))$/

const HOW_TO_START = 'make one to start with by "ultravox-relay init"'

function readConfig(file: string, descriptorsOf: number | undefined): string {
  let text: string
  try {
    // An open pipe, as of `--config <(...)`, can be read; a FIFO opened by name could block a reload indefinitely.
    text = DESCRIPTOR.test(file) ? readDescriptor(file, descriptorsOf) : readSmallFile(file, LARGEST_BYTES).text
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const { code, line } = error as { code?: unknown; line?: number }
    if (code === 'EILSEQ' && isUtf16(file)) throw new ConfigError([wholeFile(file, UTF_16)])
    throw new ConfigError([{ ...wholeFile(file, unreadable(code, file)), ...(line !== undefined && { line }) }])
  }
  if (text.includes('\0')) {
    throw new ConfigError([wholeFile(file, isUtf16(file) ? UTF_16 : unreadable('EILSEQ', file))])
  }
  return text
}

const UTF_16 = 'is UTF-16 text, as Windows saves it as "Unicode": save it as UTF-8 (iconv -f UTF-16 -t UTF-8 makes it)'

/** Whether a file begins as UTF-16 does: with its byte order mark, or with a zero in every second byte. */
function isUtf16(file: string): boolean {
  if (DESCRIPTOR.test(file)) return false
  const [first, second, third, fourth] = readSmallBytes(file, LARGEST_BYTES).bytes
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
  return (
    isMarked ||
    ((first === 0) !== (second === 0) && (first === 0) === (third === 0) && (second === 0) === (fourth === 0))
  )
}

function readDescriptor(file: string, process: number | undefined): string {
  const [, ofDev, ofProc] = DESCRIPTOR.exec(file)!
  const path = process === undefined ? file : `/proc/${process}/fd/${ofDev ?? ofProc ?? 0}`
  const text = utf8Text(accessing(file, () => readFileSync(path)))
  if (process !== undefined && text === '' && statSync(path).isFIFO())
    throw new ConfigError([wholeFile(file, READ_BEFORE)])
  return text
}

const READ_BEFORE =
  'is a pipe that was read when the relay was started: restart the relay, or start it with --config FILE to reload it'

function unreadable(code: unknown, file: string): string {
  if (code === 'ENOENT' && isHomePath(file)) return HOME_PROBLEM
  if (code === 'ENOENT') return `there is no such file: ${HOW_TO_START}, or name another with --config FILE`
  if (code === 'EISDIR') return 'is a directory: name a file in it with --config FILE'
  const denied = permissionProblem(file)
  if (denied !== undefined) return denied
  if (code === 'EILSEQ') return 'is not UTF-8 text: save it as UTF-8 (iconv -f LATIN1 -t UTF-8 makes it of Latin-1)'
  return `cannot be read (${fileProblem(code)})`
}

function wholeFile(file: string, message: string): Problem {
  return { file, line: 1, column: 1, path: '', message }
}
