import { Secret } from '../domain/secret.ts'
import type { Config, ServerTlsConfig } from './config.ts'
import type { Path } from './finding.ts'
import type { Problem } from './problem.ts'
import type { UnfinishedRotation } from './rotation-state.ts'

/** What the reader is asked for, by `kind`. */
export interface Requests {
  load: { readonly file: string; readonly env: NodeJS.ProcessEnv }
  /** `state`: of the files when they were last read; undefined has them read in any case. `now` in epoch milliseconds. */
  certificate: { readonly tls: ServerTlsConfig; readonly state: string | undefined; readonly now: number }
  rotations: Pick<Config, 'ultravox' | 'sources'>
}

export type Kind = keyof Requests

/** What it answers. */
export interface Answers {
  /** `read`: the variables of the environment that were read; `credentials`: the files in $CREDENTIALS_DIRECTORY, by name. */
  load: {
    readonly config: Config
    readonly warnings: Problem[]
    readonly read: readonly string[]
    readonly credentials: readonly string[]
  }
  /** `next` is null where the files are in the same state. */
  certificate: {
    readonly state: string | undefined
    readonly next: ServerTlsConfig | { readonly problem: string } | null
  }
  rotations: UnfinishedRotation[]
}

/** Sent to the process. */
export interface ToReader {
  /** Of the relay that asks: the program may have been updated on disk since it was started. */
  readonly version: string
  readonly kind: Kind
  readonly request: Packed
}

/**
 * Sent by the process: which path it is asking for and the file that links lead to, null when that has answered, and in the end one of
 * the others.
 */
export type FromReader =
  | { readonly at: string | null; readonly file: string | null }
  | { readonly answer: Packed }
  | { readonly problems: readonly Problem[] }
  | { readonly failed: string }

/** A value in a form that can be sent: a `Secret` is opaque to the structured clone. */
export interface Packed {
  readonly value: unknown
  readonly secrets: readonly { readonly path: Path; readonly text: string | undefined }[]
}

/** `value`: plain data with secrets in it. */
export function pack(value: unknown): Packed {
  const secrets: { path: Path; text: string | undefined }[] = []
  const plain = (node: unknown, path: Path): unknown => {
    if (node instanceof Secret) {
      secrets.push({ path, text: node.isMissing ? undefined : node.reveal() })
      return null
    }
    if (Array.isArray(node)) return node.map((item, index) => plain(item, [...path, index]))
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, plain(item, [...path, key])]))
  }
  return { value: plain(value, []), secrets }
}

export function unpack({ value, secrets }: Packed): unknown {
  const root = { value }
  for (const { path, text } of secrets) {
    const whole: Path = ['value', ...path]
    const parent = whole.slice(0, -1).reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], root)
    ;(parent as Record<string, unknown>)[whole.at(-1)!] = new Secret(text)
  }
  return root.value
}
