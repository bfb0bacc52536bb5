import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { formatPath, type Path } from './finding.ts'
import { parseReferences, referencesIn } from './reference-parser.ts'
import { hasReference } from './references.ts'
import { parseYaml } from './yaml-document.ts'

/** Where the secrets of a configuration are. */
export interface SecretPlaces {
  /** Files that it refers to, absolute. */
  readonly files: readonly string[]
  /** Keys under which a secret stands in the file itself. */
  readonly inline: readonly string[]
}

const SECRET_NAME = /authorization|cookie|token|secret|password|api-?key|^key$|^webhookUrl$/i
const CREDENTIALS_IN_URL = /:\/\/[^/@\s]*:[^/@\s]+@/

/** Looks at a configuration as it is written. `file` is one that has been loaded. */
export function secretPlaces(file: string): SecretPlaces {
  const directory = dirname(resolve(file))
  const texts = [...textsIn(parseYaml(readFileSync(file, 'utf8')).value, [])]
  const referred = texts.flatMap(([, text]) => [...filesIn(text)])
  const keys = texts.filter(([path, text]) => isKeyFile(path, text)).map(([, text]) => text)
  const inline = texts.filter(([path, text]) => !hasReference(text) && !isKeyFile(path, text) && isSecret(path, text))
  return {
    files: [...new Set([...referred, ...keys].map((path) => resolve(directory, path)))],
    inline: inline.map(([path]) => formatPath(path)),
  }
}

/** Paths of files that a text refers to, as far as they are written there in full. */
function* filesIn(text: string): Iterable<string> {
  for (const reference of referencesIn(parseReferences(text))) {
    if (reference.kind !== 'file') continue
    const [path, ...more] = reference.name
    if (path?.kind === 'text' && more.length === 0) yield path.text
  }
}

/** `secretsFile` is a path, and `tls.key`, unless it is the key itself. */
function isKeyFile(path: Path, text: string): boolean {
  if (path.at(-1) === 'secretsFile') return !hasReference(text)
  return path.at(-1) === 'key' && path.at(-2) === 'tls' && !hasReference(text) && !text.includes('-----BEGIN ')
}

/** By what it is called; a template is filled in from the event. */
function isSecret(path: Path, text: string): boolean {
  const name = path.findLast((segment) => typeof segment === 'string') ?? ''
  return !text.includes('{{') && (SECRET_NAME.test(name) || CREDENTIALS_IN_URL.test(text))
}

/** Every text in a value, with its place. */
function* textsIn(value: unknown, path: Path): Iterable<[Path, string]> {
  if (typeof value === 'string') yield [path, value]
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    yield* textsIn(item, [...path, Array.isArray(value) ? Number(key) : key])
  }
}
