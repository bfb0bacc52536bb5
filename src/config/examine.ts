import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { crossChecks } from './checks.ts'
import { draftOf } from './draft.ts'
import { type Finding, formatPath, type Path } from './finding.ts'
import { resolveReferences } from './references.ts'
import type { RelayFile } from './schema.ts'
import { validate } from './validate.ts'

/** What there is to say about a file's content. `content` is there where it has the declared form. */
export interface Examined {
  readonly content: RelayFile | undefined
  readonly errors: readonly Finding[]
  readonly warnings: readonly Finding[]
}

/** Looks at a file's plain content from every side, each as far as what the others found wrong allows. */
export function examine(raw: unknown, file: string, env: NodeJS.ProcessEnv): Examined {
  const directory = dirname(file)
  const references = resolveReferences(raw, { env, directory, readFile: (path) => readFileSync(path, 'utf8') })
  const { content, findings } = validate(references.value)
  const written = (path: Path) => valueAt(raw, path)
  const checks = [...crossChecks(draftOf(references.value, { env, directory, written }))]

  // A value that could not be had is missing to the schema too; that is said already, and better.
  const unresolved = new Set(references.findings.map(({ path }) => formatPath(path)))
  const invalid = findings.filter(({ path }) => !unresolved.has(formatPath(path)))
  return {
    content,
    errors: [...references.findings, ...invalid, ...checks.filter(({ level }) => level === undefined)],
    warnings: checks.filter(({ level }) => level === 'warning'),
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((node, segment) => {
    const isParent = typeof node === 'object' && node !== null && Object.hasOwn(node, segment)
    return isParent ? (node as Record<string | number, unknown>)[segment] : undefined
  }, value)
}
