import { isAbsolute, resolve } from 'node:path'
import { readingProblem } from '../safe-file.ts'
import { bound, joined, type Piece, type Syntax } from './bound-references.ts'
import type { Finding, Path } from './finding.ts'
import { HOME_PROBLEM, isHomePath } from './home-path.ts'
import { type Part, parseReferences, type Reference, referencesIn } from './reference-parser.ts'
import { isSecretPath, trimmed } from './secret-text.ts'

/** Where references get their values from. */
export interface ReferenceSources {
  readonly env: NodeJS.ProcessEnv
  /** Relative `${file:...}` paths start here. */
  readonly directory: string
  /** Reads a file as text; throws errors with the codes of `readSmallFile`. */
  readonly readFile: (path: string) => string
}

/** Whether a value, as written, is text with a `${...}` in it that stands for something else. */
export function hasReference(written: unknown): boolean {
  return typeof written === 'string' && parseReferences(written).some(({ kind }) => kind !== 'text')
}

/** What a reference at a path of the file stands for. `isFallback`: it is written in the file itself. */
export interface Referenced {
  readonly path: Path
  readonly text: string
  readonly isFallback: boolean
}

export interface ResolvedReferences {
  readonly value: unknown
  readonly findings: Finding[]
  readonly referenced: readonly Referenced[]
}

/**
 * Replaces the references in every string of `value` (keys are left alone). A string with a reference that cannot be
 * resolved becomes undefined, so that nothing later judges half a value; `findings` say why. What a reference stands for
 * is not searched for references, and in an expression it is a text and never code. In places of secrets it is trimmed,
 * with a warning.
 */
export function resolveReferences(value: unknown, sources: ReferenceSources): ResolvedReferences {
  const findings: Finding[] = []
  const referenced: Referenced[] = []
  const resolveIn = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') {
      const resolver = new Resolver(sources, isSecretPath(path))
      const pieces = resolver.pieces(parseReferences(node))
      const text = pieces === undefined ? undefined : resolver.bound(pieces, syntaxAt(path))
      findings.push(...resolver.findings.map((finding) => ({ path, ...finding })))
      for (const each of pieces === undefined ? [] : valuesOf(pieces)) referenced.push({ path, ...each })
      return text
    }
    if (Array.isArray(node)) return node.map((item, index) => resolveIn(item, [...path, index]))
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, resolveIn(item, [...path, key])]))
  }
  return { value: resolveIn(value, []), findings, referenced }
}

const TEMPLATES: ReadonlySet<unknown> = new Set(['body', 'headers', 'text', 'blocks'])

/** What a text at this path of the file is read as. */
function syntaxAt([section, , key]: Path): Syntax {
  if (section === 'routes' && key === 'when') return 'expression'
  return section === 'targets' && TEMPLATES.has(key) ? 'template' : 'text'
}

function valuesOf(pieces: readonly Piece[]): Omit<Referenced, 'path'>[] {
  return pieces.flatMap((piece) => {
    if (piece.kind === 'written') return []
    if (piece.kind === 'value') return [{ text: piece.text, isFallback: false }]
    return [{ text: joined(piece.pieces), isFallback: true }, ...valuesOf(piece.pieces)]
  })
}

/** A text with references, for people: `${TOKEN:-…}`, for what is used instead may be a secret. */
export function withoutFallbacks(written: string): string {
  return parseReferences(written)
    .map((part) => (part.kind === 'text' ? part.text.replaceAll('${', () => '$${') : shown(part)))
    .join('')
}

function shown(reference: Reference): string {
  switch (reference.kind) {
    case 'variable':
      return reference.fallback === null ? reference.source : `\${${reference.name}:-…}`
    case 'invalid':
      // What follows the name may be a secret.
      return reference.source.replace(/^(\$\{\s*[\w:]*)[^}]+/, '$1…')
    default:
      return `\${${reference.kind}:${reference.name.map((part) => (part.kind === 'text' ? part.text : shown(part))).join('')}}`
  }
}

type Found = { readonly text: string } | { readonly problem: string }

/** Resolves one text and collects its findings. */
class Resolver {
  readonly findings: Omit<Finding, 'path'>[] = []
  readonly #sources: ReferenceSources
  readonly #isSecret: boolean

  constructor(sources: ReferenceSources, isSecret: boolean) {
    this.#sources = sources
    this.#isSecret = isSecret
  }

  /** Undefined where a reference in it cannot be resolved. */
  pieces(parts: readonly Part[]): readonly Piece[] | undefined {
    const pieces = parts.map((part) =>
      part.kind === 'text' ? { kind: 'written' as const, text: part.text } : this.#reference(part),
    )
    return pieces.every((piece) => piece !== undefined) ? pieces : undefined
  }

  /** Undefined, with a finding, where one stands where no value can. */
  bound(pieces: readonly Piece[], syntax: Syntax): string | undefined {
    const result = bound(pieces, syntax)
    if ('text' in result) return result.text
    this.findings.push({ message: `a reference ${result.problem}` })
    return undefined
  }

  #text(parts: readonly Part[]): string | undefined {
    const pieces = this.pieces(parts)
    return pieces && joined(pieces)
  }

  #reference(reference: Reference): Piece | undefined {
    if (reference.kind === 'variable' && reference.fallback !== null) {
      const value = this.#sources.env[reference.name]
      // Its findings count only where it is needed.
      if (!value) {
        const pieces = this.pieces(reference.fallback)
        return pieces && { kind: 'fallback', pieces }
      }
      this.#noteUnused(reference.fallback)
    }
    const found = this.#found(reference)
    if (found === undefined) return undefined
    if ('text' in found) return { kind: 'value', text: this.#cleaned(found.text, reference) }
    this.#report(reference, found.problem)
    return undefined
  }

  /** A variable that only a fallback names may hold a secret too: it counts as read, so that `serve` hides it. */
  #noteUnused(fallback: readonly Part[]): void {
    for (const each of referencesIn(fallback)) {
      if (each.kind === 'variable') void this.#sources.env[each.name]
    }
  }

  /** Undefined where that has been reported. */
  #found(reference: Reference): Found | undefined {
    if (reference.kind === 'invalid') return { problem: reference.problem }
    if (reference.kind === 'variable') return fromVariable(reference.name, this.#sources.env)
    const name = this.#text(reference.name)
    if (name === undefined) return undefined
    return reference.kind === 'file' ? fromFile(name, this.#sources) : fromCredential(name, this.#sources)
  }

  #cleaned(text: string, reference: Reference): string {
    if (!this.#isSecret) return text
    const clean = trimmed(text)
    if (clean !== text) {
      this.#report(
        reference,
        'has blanks or line breaks at its start or end, which are left out: remove them',
        'warning',
      )
    }
    return clean
  }

  #report(reference: Reference, problem: string, level?: 'warning'): void {
    this.findings.push({
      message: `${shown(reference)}: ${problem}`,
      // A value that begins with it is shown as a whole.
      ...(reference.at > 0 && { at: reference.at }),
      ...(level !== undefined && { level }),
    })
  }
}

function fromVariable(name: string, env: NodeJS.ProcessEnv): Found {
  const text = env[name]
  if (text === undefined) {
    return { problem: `this environment variable is not set: set it, or give a default as in \${${name}:-value}` }
  }
  // Node has replaced what is not UTF-8, and nothing tells what it was.
  if (text.includes('\ufffd')) {
    return { problem: 'this environment variable is not UTF-8 text: write it in UTF-8 where it is set' }
  }
  if (text !== '') return { text }
  return {
    problem: `this environment variable is set, but empty: set it, or write \${${name}:-} where it may be empty`,
  }
}

function fromFile(path: string, { directory, readFile }: ReferenceSources): Found {
  if (path === '') return { problem: 'names no file: write ${file:/path/to/file}' }
  if (isHomePath(path)) return { problem: HOME_PROBLEM }
  try {
    const text = readFile(isAbsolute(path) ? path : resolve(directory, path)).replace(/\r?\n$/, '')
    return text.trim() === '' ? { problem: 'the file is empty' } : { text }
  } catch (error) {
    const advice = (error as { code?: unknown }).code === 'EILSEQ' ? '' : ': check the path and its permissions'
    return { problem: `the file cannot be read (${readingProblem(error)})${advice}` }
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
  try {
    const text = sources.readFile(resolve(directory, name)).replace(/\r?\n$/, '')
    return text.trim() === '' ? { problem: 'the credential is empty' } : { text }
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') return { problem: `cannot be read (${readingProblem(error)})` }
    return {
      problem: `$CREDENTIALS_DIRECTORY has no such file: add LoadCredential=${name}:/path to the systemd unit; one added since the start takes a restart`,
    }
  }
}
