import { RelayError } from '../domain/errors.ts'

/** One thing to tell the operator, with its place in the file. */
export interface Problem {
  /** As the operator gave it. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Such as `routes[0].to[1]`; empty where it is about the file as a whole. */
  readonly path: string
  readonly message: string
}

/** `relay.yaml:LINE:COL: path: what is wrong, and what to write instead`; terminals turn its start into a link. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
}

/** The order in which they are told. */
export function byPosition(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column
}

/** The configuration cannot be used. The message is every problem, one per line. */
export class ConfigError extends RelayError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super('config_invalid', problems.map(formatProblem).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}
