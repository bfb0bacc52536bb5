import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { crossChecks, machineChecks } from './checks.ts'
import { draftOf } from './draft.ts'
import { type Finding, formatPath, type Path } from './finding.ts'
import { resolveReferences } from './references.ts'
import type { RelayFile } from './schema.ts'
import { readSecretsFiles, type SecretsFiles } from './secrets-files.ts'
import { isForDaemonOnly, validateWithout } from './without-secrets.ts'

/**
 * What a configuration is loaded for: to run the relay, or for commands that only work on its outbox, perhaps as another
 * user. Those have neither its secrets nor its programs and certificates, and need none.
 */
export type Purpose = 'daemon' | 'outbox'

/** What there is to say about a file's content. `content` is there where it has the declared form. */
export interface Examined {
  /** What was looked at, its references resolved. */
  readonly resolved: unknown
  readonly content: RelayFile | undefined
  readonly secretsFiles: SecretsFiles['secrets']
  readonly errors: readonly Finding[]
  readonly warnings: readonly Finding[]
  /** References and files that cannot be had and are not needed for the purpose. */
  readonly missing: readonly Finding[]
}

/** Looks at a file's plain content from every side, each as far as what the others found wrong allows. */
export function examine(raw: unknown, file: string, env: NodeJS.ProcessEnv, purpose: Purpose): Examined {
  const directory = dirname(file)
  const references = resolveReferences(raw, { env, directory, readFile: (path) => readFileSync(path, 'utf8') })
  const missing = purpose === 'daemon' ? [] : references.findings.filter(({ path }) => isForDaemonOnly(path))
  const missingPaths = missing.map(({ path }) => path)
  const { content, findings } = validateWithout(references.value, missingPaths)
  const draft = draftOf(references.value, { env, directory, written: (path) => valueAt(raw, path) })
  const secretsFiles = readSecretsFiles(draft)
  const checks = [
    ...crossChecks(draft),
    ...(purpose === 'daemon' ? [...machineChecks(draft), ...secretsFiles.findings] : []),
  ]

  // A value that could not be had is missing to the schema too; that is said already, and better.
  const unresolved = new Set(references.findings.map(({ path }) => formatPath(path)))
  const invalid = findings.filter(({ path }) => !unresolved.has(formatPath(path)))
  // One that is not needed may still be of a kind that nothing can stand in for.
  const unfit = new Set(findings.map(({ path }) => formatPath(path)))
  const isNeeded = (finding: Finding) => !missing.includes(finding) || unfit.has(formatPath(finding.path))
  return {
    resolved: references.value,
    content,
    secretsFiles: secretsFiles.secrets,
    errors: [...references.findings.filter(isNeeded), ...invalid, ...checks.filter(({ level }) => level === undefined)],
    warnings: checks.filter(({ level }) => level === 'warning'),
    missing:
      purpose === 'daemon' ? [] : [...missing, ...secretsFiles.findings.filter(({ level }) => level === undefined)],
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((node, segment) => {
    const isParent = typeof node === 'object' && node !== null && Object.hasOwn(node, segment)
    return isParent ? (node as Record<string | number, unknown>)[segment] : undefined
  }, value)
}
