import { dirname } from 'node:path'
import { systemClock } from '../domain/clock.ts'
import { readSmallFile } from '../safe-file.ts'
import { crossChecks, machineChecks } from './checks.ts'
import { draftOf } from './draft.ts'
import { type Finding, formatPath, type Path } from './finding.ts'
import { type Referenced, resolveReferences } from './references.ts'
import type { RelayFile } from './schema.ts'
import { judgeText } from './secret-text.ts'
import { readSecretsFiles, type SecretsFiles } from './secrets-files.ts'
import { isForDaemonOnly, validateWithout } from './without-secrets.ts'

/**
 * What a configuration is loaded for: to check it as a whole (`daemon`), to start or reload the relay, which goes on in spite of
 * what stops a single target (`start`), or for commands that only work on its outbox, perhaps as another
 * user. Those have neither its secrets nor its programs and certificates, and need none.
 */
export type Purpose = 'daemon' | 'start' | 'outbox'

/** What there is to say about a file's content. `content` is there where it has the declared form. */
export interface Examined {
  /** What was looked at, its references resolved. */
  readonly resolved: unknown
  readonly content: RelayFile | undefined
  readonly referenced: readonly Referenced[]
  readonly secretsFiles: SecretsFiles['secrets']
  readonly errors: readonly Finding[]
  readonly warnings: readonly Finding[]
  /** Facts worth knowing that need no action. */
  readonly notes: readonly Finding[]
  /** References and files that cannot be had and are not needed for the purpose. */
  readonly missing: readonly Finding[]
}

/** Looks at a file's plain content from every side, each as far as what the others found wrong allows. */
export function examine(raw: unknown, file: string, env: NodeJS.ProcessEnv, purpose: Purpose): Examined {
  const directory = dirname(file)
  const references = resolveReferences(raw, { env, directory, readFile: (path) => readSmallFile(path).text })
  const unresolved = references.findings.filter(({ level }) => level === undefined)
  const missing = purpose !== 'outbox' ? [] : unresolved.filter(({ path }) => isForDaemonOnly(path))
  const missingPaths = missing.map(({ path }) => path)
  const { content, findings } = validateWithout(references.value, missingPaths)
  const draft = draftOf(references.value, {
    env,
    directory,
    now: systemClock.now(),
    written: (path) => valueAt(raw, path),
  })
  const secretsFiles = readSecretsFiles(draft)

  // A value that could not be had is missing to the schema too; that is said already, and better.
  const unresolvedAt = pathsOf(unresolved)
  const invalid = findings.filter(({ path }) => !unresolvedAt.has(formatPath(path)))
  const invalidAt = pathsOf(invalid)
  // One that is not needed may still be of a kind that nothing can stand in for.
  const unfitAt = pathsOf(findings)
  const isNeeded = (finding: Finding) => !missing.includes(finding) || unfitAt.has(formatPath(finding.path))
  const checks = [
    ...crossChecks(draft),
    ...(purpose !== 'outbox'
      ? [
          ...[...machineChecks(draft)].map((finding) => levelFor(finding, purpose)),
          ...[...secretFindings(references.value, [])].filter(({ path }) => !invalidAt.has(formatPath(path))),
          ...secretsFiles.findings,
        ]
      : []),
  ]
  return {
    resolved: references.value,
    content,
    referenced: references.referenced,
    secretsFiles: secretsFiles.secrets,
    errors: [...unresolved.filter(isNeeded), ...invalid, ...checks.filter(({ level }) => level === undefined)],
    warnings: [...references.findings, ...checks].filter(({ level }) => level === 'warning'),
    notes: checks.filter(({ level }) => level === 'note'),
    missing:
      purpose !== 'outbox' ? [] : [...missing, ...secretsFiles.findings.filter(({ level }) => level === undefined)],
  }
}

/** Only what makes intake impossible stops a start. */
function levelFor(finding: Finding, purpose: Purpose): Finding {
  return purpose === 'start' && finding.stops === 'target' ? { ...finding, level: 'warning' } : finding
}

function pathsOf(findings: readonly Finding[]): ReadonlySet<string> {
  return new Set(findings.map(({ path }) => formatPath(path)))
}

/** Judges every text in a place of secrets. */
function* secretFindings(value: unknown, path: Path): Iterable<Finding> {
  if (typeof value === 'string') yield* judgeText(path, value).map((judgement) => ({ path, ...judgement }))
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    yield* secretFindings(item, [...path, Array.isArray(value) ? Number(key) : key])
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((node, segment) => {
    const isParent = typeof node === 'object' && node !== null && Object.hasOwn(node, segment)
    return isParent ? (node as Record<string | number, unknown>)[segment] : undefined
  }, value)
}
