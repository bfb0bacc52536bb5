import { isAbsolute, resolve } from 'node:path'
import type { Finding, Path } from './finding.ts'

/** Where references get their values from. */
export interface ReferenceSources {
  readonly env: NodeJS.ProcessEnv
  /** Relative `${file:...}` paths start here. */
  readonly directory: string
  /** Reads a file as text; throws where that cannot be done. */
  readonly readFile: (path: string) => string
}

/** `$${` (a literal `${`), a whole reference, or the start of one that never ends. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}|\$\{/g
const VARIABLE = /^([A-Za-z_]\w*)(?::-(.*))?$/s

/** Whether a value, as written, is text with a `${...}` in it that stands for something else. */
export function hasReference(written: unknown): boolean {
  return typeof written === 'string' && written.replaceAll('$${', '').includes('${')
}

/**
 * Replaces the references in every string of `value` (keys are left alone). A string with a reference that cannot be
 * had becomes undefined, so that nothing later judges half a value; why is told in `findings`.
 */
export function resolveReferences(value: unknown, sources: ReferenceSources): { value: unknown; findings: Finding[] } {
  const findings: Finding[] = []
  const resolveIn = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') {
      const { text, problems } = resolveText(node, sources)
      findings.push(...problems.map((message) => ({ path, message })))
      return problems.length === 0 ? text : undefined
    }
    if (Array.isArray(node)) return node.map((item, index) => resolveIn(item, [...path, index]))
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, resolveIn(item, [...path, key])]))
  }
  return { value: resolveIn(value, []), findings }
}

function resolveText(written: string, sources: ReferenceSources): { text: string; problems: string[] } {
  const problems: string[] = []
  const text = written.replace(REFERENCE, (match: string, inside: string | undefined) => {
    if (match === '$${') return '${'
    if (inside === undefined) {
      problems.push('has a "${" without its "}": close it, or write $${ for a literal ${')
      return ''
    }
    const found = lookUp(inside, sources)
    if ('problem' in found) problems.push(`${withoutFallbacks(match)}: ${found.problem}`)
    return 'text' in found ? found.text : ''
  })
  return { text, problems }
}

/** A text with references, for people: `${TOKEN:-…}`, for what is used instead may be a secret. */
export function withoutFallbacks(written: string): string {
  return written.replace(/(\$\{[^}]*?:-)[^}]*/g, '$1…')
}

type Found = { readonly text: string } | { readonly problem: string }

function lookUp(inside: string, sources: ReferenceSources): Found {
  if (inside.startsWith('file:')) return fromFile(inside.slice('file:'.length), sources)
  if (inside.startsWith('credential:')) return fromCredential(inside.slice('credential:'.length), sources)
  const [, name, fallback] = VARIABLE.exec(inside) ?? []
  if (name === undefined) {
    const forms = '${NAME}, ${NAME:-default}, ${file:/path} or ${credential:name}'
    return { problem: `is not a reference: write ${forms}, or $\${ for a literal $\{` }
  }
  const text = sources.env[name]
  if (fallback !== undefined) return { text: text || fallback }
  if (text !== undefined) return { text }
  return { problem: `this environment variable is not set: set it, or give a default as in \${${name}:-value}` }
}

function fromFile(path: string, { directory, readFile }: ReferenceSources): Found {
  if (path === '') return { problem: 'names no file: write ${file:/path/to/file}' }
  try {
    return { text: readFile(isAbsolute(path) ? path : resolve(directory, path)).replace(/\r?\n$/, '') }
  } catch (error) {
    return { problem: `the file cannot be read (${reason(error)}): check the path and its permissions` }
  }
}

function fromCredential(name: string, sources: ReferenceSources): Found {
  if (!/^[\w.@-]+$/.test(name) || name.startsWith('.')) {
    return {
      problem: 'is not the name of a credential: write the name given to LoadCredential=, as in ${credential:name}',
    }
  }
  const directory = sources.env.CREDENTIALS_DIRECTORY
  if (!directory) {
    return { problem: `$CREDENTIALS_DIRECTORY is not set: run under systemd with LoadCredential=${name}:/path` }
  }
  const found = fromFile(resolve(directory, name), sources)
  if ('text' in found) return found
  return { problem: `$CREDENTIALS_DIRECTORY has no such file: add LoadCredential=${name}:/path to the systemd unit` }
}

function reason(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  if (code === 'ENOENT') return 'there is none'
  if (code === 'EACCES') return 'permission denied'
  return code === 'EISDIR' ? 'it is a directory' : String(code ?? 'unknown error')
}
