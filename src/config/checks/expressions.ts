import { compileCondition, compileTemplate, ExpressionError } from '../../domain/expression.ts'
import type { Draft, SoundTarget } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'
import { hasReference } from '../references.ts'

/** Every JSONata expression is compiled, so that a typing error is told now and not when the first event comes. */
export function* checkExpressions(draft: Draft): Iterable<Finding> {
  const { written } = draft.surroundings
  for (const [index, { when }] of draft.routes.entries()) {
    const path = ['routes', index, 'when']
    if (when !== undefined) yield* compiled(() => compileCondition(when), path, written(path))
  }
  for (const [name, target] of draft.targets) {
    if (target.type === 'http') yield* checkBody(target, ['targets', name], written)
    if ('headers' in target) yield* checkHeaders(target.headers, ['targets', name, 'headers'], written)
    if (target.type !== 'slack') continue
    for (const key of ['text', 'blocks'] as const) {
      for (const { text, path } of stringsIn(target[key], ['targets', name, key])) {
        yield* compiled(() => compileTemplate(text), path, written(path))
      }
    }
  }
}

type HttpTarget = Extract<SoundTarget, { type?: 'http' | undefined }>

function* checkBody({ body }: HttpTarget, path: Path, written: (path: Path) => unknown): Iterable<Finding> {
  for (const string of stringsIn(body, [...path, 'body'])) {
    yield* compiled(() => compileTemplate(string.text), string.path, written(string.path))
  }
}

function* checkHeaders(
  headers: HttpTarget['headers'],
  path: Path,
  written: (path: Path) => unknown,
): Iterable<Finding> {
  for (const [name, value] of Object.entries(headers ?? {})) {
    const headerPath = [...path, name]
    for (const finding of compiled(() => compileTemplate(value.reveal()), headerPath, written(headerPath))) {
      // Headers are secrets, and the compiler quotes what it stumbles over.
      yield typeof finding.at === 'number' ? { ...finding, message: 'is not valid JSONata from here on' } : finding
    }
  }
}

function* compiled(compile: () => void, path: Path, written: unknown): Iterable<Finding> {
  try {
    compile()
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    // The compiler quotes what it stumbles over, which must not be what a reference stands for; nor is the position
    // in the resolved text the one in the file.
    if (hasReference(written)) yield { path, message: 'is not valid JSONata once its ${...} is filled in' }
    else yield { path, message: `is not valid JSONata: ${error.message}`, at: error.offset }
  }
}

function* stringsIn(value: unknown, path: Path): Iterable<{ text: string; path: Path }> {
  if (typeof value === 'string') yield { text: value, path }
  else if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* stringsIn(item, [...path, index])
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) yield* stringsIn(item, [...path, key])
  }
}
